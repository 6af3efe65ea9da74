"""Services of the machine: the clock, random ids, the log."""
