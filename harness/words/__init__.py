"""The words of the configuration: how Hydra reads them, and what to type instead of what it refuses."""
