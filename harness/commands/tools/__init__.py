"""Verbs beside the measuring: completion, the tests and the benchmarks."""
