"""A run: its inputs checked, its plan fixed, row after row measured, round after round timed."""
