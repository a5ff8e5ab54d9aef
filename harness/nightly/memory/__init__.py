"""What nights remember of each other: open regressions, lasting shifts, and the other methods' times."""
