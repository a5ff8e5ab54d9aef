"""Files that may be damaged, cut off by a power cut, or somebody else's: read, written and locked."""
