"""roomd: a daemon for meeting rooms over WebSocket."""

__version__ = "0.1.0"
