"""The kernel's policies, and what its counters say of cycles, heat and energy."""
