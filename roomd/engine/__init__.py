"""The live rooms: batches of commands, how their changes are stored, and who is told of them."""
