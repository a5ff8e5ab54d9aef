"""The verbs of ``./run.sh``, one file each: its words, its help, its call and what it prints.

A file here is a verb: it sets ``VERB``, and imports what it calls when it is called, so that help
needs no environment. ``tools/`` has those that measure nothing for a table.
"""
