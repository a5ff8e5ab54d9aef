"""Several processes of one row at the same time, each on its own cores."""
