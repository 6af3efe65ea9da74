"""The live rooms: batches of commands, what is kept of them, and who is told."""
