"""Shared libraries of this process: which one serves a function, and which allocator it has."""
