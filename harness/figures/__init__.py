"""Figures of a report, one module each: ``draw`` takes what was derived and returns a Drawing."""
