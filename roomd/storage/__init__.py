"""The database: what is kept of rooms, and how it is read again."""
