"""Runs of several machines beside each other."""
