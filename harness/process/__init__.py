"""Processes of ours: how each is started, confined and heard, and what is timed in it."""
