"""Intervals, noise between runs, steadiness of a series, shifts: pure functions of numbers."""
