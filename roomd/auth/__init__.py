"""Tokens and keys: how tokens are verified, and how the keys for that are loaded."""
