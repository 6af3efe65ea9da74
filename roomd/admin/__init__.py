"""The admin interface: HTTP on a Unix socket, for root and for the daemon's own user."""
