"""A run as a page for a paper: what it says beyond the table, and its figures."""
