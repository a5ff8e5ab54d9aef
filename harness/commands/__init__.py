"""The verbs of ``./run.sh``, one file each."""
