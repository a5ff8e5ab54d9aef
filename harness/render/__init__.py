"""Text for a terminal, a page or a table: whatever comes from files stays text."""
