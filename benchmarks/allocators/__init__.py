"""What the allocator changes: rows timed under each of them in turn."""
