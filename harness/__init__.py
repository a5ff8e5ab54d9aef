"""Regenerate the ResNet50v2 quantisation table: plan, measure in isolation, record, tabulate."""

from pathlib import Path

__version__ = "0.1.0"
PROJECT = Path(__file__).resolve().parent.parent  # the checkout
