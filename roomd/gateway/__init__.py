"""The edge: sockets, HTTP, one client's conversation, and what its requests come to."""
