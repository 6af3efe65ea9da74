"""The event log for its readers: `feed` reads it, for all of them."""
