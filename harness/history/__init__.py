"""What is kept of nights: a database beside the runs, made from their records at any time."""
