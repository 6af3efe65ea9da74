"""A scripted session with the daemon, and what every client of it received."""
