"""Rooms on python-socketio."""
