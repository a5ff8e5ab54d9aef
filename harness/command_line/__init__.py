"""How the words of a command line become the call of a verb, its help and its completion."""
