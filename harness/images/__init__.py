"""Prepared images in the cache: made once, listed, limited."""
