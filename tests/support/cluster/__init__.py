"""Three nodes in one process: a bus and a database that a test steers, and people in front of each node."""
