"""What a paper and its reviewers need of a run: references, a checklist, a pack for review."""
