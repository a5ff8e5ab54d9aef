"""Records of several instances, as files of a run."""
