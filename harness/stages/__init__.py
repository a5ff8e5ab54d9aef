"""What a worker process does: one module per stage, each with ``run(job, progress) -> value``."""
