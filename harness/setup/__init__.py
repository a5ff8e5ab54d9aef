"""Environments of packages, made from the lock files by the standard library alone."""
