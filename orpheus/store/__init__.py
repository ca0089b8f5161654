"""Where jobs are kept: the only SQL, the only import of sqlite3 and aiosqlite.

A write verb is a synchronous function on a `Transaction` that runs inside the gate; reads are
async and belong to the API.
"""
