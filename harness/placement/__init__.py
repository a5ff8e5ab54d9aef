"""Which CPUs and which memory each of several instances of a row gets."""
