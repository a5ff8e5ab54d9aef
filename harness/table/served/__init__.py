"""The highest rates of queries: from the records of searches to rows and tables."""
