"""Engines other than MXNet: each runs the same network, in a worker of an environment of its own.

These modules import neither MXNet nor Hydra, and work with the NumPy of the engine's environment.
"""
