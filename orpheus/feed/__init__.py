"""The live feed: readers with cursors of their own, waits, and coalesced topics."""
