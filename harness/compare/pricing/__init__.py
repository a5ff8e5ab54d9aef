"""Prices of machines: the list that the user edits, and what a million images cost."""
