"""The rules of a room, as pure functions: its state, its commands, and the changes that a command makes."""
