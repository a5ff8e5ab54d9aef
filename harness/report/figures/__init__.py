"""The figures of a report: one module a figure, which derives its values and draws them.

Importing one imports matplotlib: set MPLCONFIGDIR before.
"""
