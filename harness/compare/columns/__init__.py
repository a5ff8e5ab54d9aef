"""The columns of a comparison: single runs, and runs on machines of one type."""
