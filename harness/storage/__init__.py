"""Runs on disk: typed facts, plain files, atomic writes, locks."""
