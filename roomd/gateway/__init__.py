"""The network: sockets, HTTP, the clients and their limits, and a handler for each request."""
