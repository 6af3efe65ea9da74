"""The domain, pure: one room, what may be asked of it, and what changes then."""
