"""The database: how rooms are stored and loaded."""
