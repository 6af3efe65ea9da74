"""Measurements of roomd beside what it can be compared with. Start with README.md."""
