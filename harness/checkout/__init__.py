"""The checkout that the harness runs from, as git and the lock file say it."""
