"""A run as a page, with figures, tables and text for a paper."""
