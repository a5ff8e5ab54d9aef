"""``python -m harness`` is what run.sh starts."""

from harness.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
