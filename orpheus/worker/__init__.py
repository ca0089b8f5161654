"""The processes that run jobs: claim, run, settle. One thread each."""
