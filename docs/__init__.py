"""The documents of roomd, and `generate`, which writes the parts of them that follow from the code."""
