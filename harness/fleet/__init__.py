"""Many machines: one run on each node of a Ray cluster, gathered and compared."""
