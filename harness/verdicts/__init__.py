"""A run against earlier ones, and identical code against itself: pure functions of samples."""
