"""How often verdicts and intervals are right, in simulations of known truth."""
