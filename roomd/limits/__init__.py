"""How much clients may use, and the addresses and accounts that it is charged to. Pure code."""
