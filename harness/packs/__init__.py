"""A run as one file with digests, and back; whether every file is the one recorded."""
