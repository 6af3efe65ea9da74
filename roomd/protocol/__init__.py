"""The wire: objects, requests, replies, events and errors, without logic (docs/protocol.md)."""
