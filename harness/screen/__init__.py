"""What a terminal shows: a run's table as wide as it is, lists, and a run as it goes on."""
