"""The published table beside a run: its numbers, and speedups over both baselines."""
