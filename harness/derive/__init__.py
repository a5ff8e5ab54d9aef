"""Records to rows: accuracies, losses, speedups, intervals. Pure functions of records."""
