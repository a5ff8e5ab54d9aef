"""A run against earlier ones, what is suspected measured again, and the history of nights."""
