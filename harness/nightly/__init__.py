"""Nights: a run compared with earlier ones, suspected rows measured again, and the history."""
