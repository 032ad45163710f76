"""Each room's parts put together, one file a room; the data directory; the database schema."""
