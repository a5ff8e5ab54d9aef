"""Regenerate the ResNet50v2 quantisation table: plan, measure in isolation, record, tabulate."""

__version__ = "0.1.0"
