"""The machine: what it is, how threads are put on it, and what disturbed a measurement on it."""
