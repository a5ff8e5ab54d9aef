"""The runs there are: found by what a user calls them, and listed."""
