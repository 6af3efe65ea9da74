"""HTTP/1.1 on the port of the WebSocket: reading requests, connections, and responses, whole or streamed."""
