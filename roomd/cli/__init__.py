"""The command line: the daemon's own commands, and a client of the running daemon."""
