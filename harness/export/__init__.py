"""Rows to text; nothing is computed here."""
