"""Text for a terminal, a page or a table; what comes from files stays text."""
