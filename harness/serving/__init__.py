"""Queries that arrive at random, served by instances, and the highest rate that they can take.

The definitions are those of the server scenario of MLPerf Inference (Reddi et al., "MLPerf Inference
Benchmark", ISCA 2020, https://arxiv.org/abs/1911.02549); docs/server.md has what differs.
"""
