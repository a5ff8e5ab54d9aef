"""Whether this machine can measure, and what a worker would get on it."""
