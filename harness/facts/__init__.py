"""Typed facts: how JSON values become them, and the ones that describe a machine."""
