"""Records to rows, and rows to Markdown and CSV."""
