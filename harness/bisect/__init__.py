"""Which change made a row worse: commits or locked packages, each measured in turn with the good run."""
