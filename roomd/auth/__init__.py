"""Who is asking: how tokens are verified, and where the keys for that come from."""
