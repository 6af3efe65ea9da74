"""Drives a server with clients and keeps the records. `run` is the entry point."""
