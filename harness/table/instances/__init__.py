"""Splits of a machine into instances: from their records to rows and tables."""
