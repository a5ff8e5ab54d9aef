"""Which engine to choose: a section of the report of a run with rows of other engines."""
