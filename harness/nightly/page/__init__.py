"""The nights of a machine as one page: lines over nights, verdicts, and what changed between nights."""
