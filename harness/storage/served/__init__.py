"""Records of searches for the highest rate of queries, as files of a run."""
