"""roomd: rooms people can join, over WebSocket."""

__version__ = "0.1.0"
