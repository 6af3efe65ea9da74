"""What the machine gives: clocks, randomness, the log."""
