"""Verbs of runs that are kept: listing them, packing, taking in, verifying."""
