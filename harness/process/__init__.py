"""Processes: how workers are started, confined and read, and the timed region."""
