"""``python -m harness`` is what run.sh starts."""

from harness.cli import main
from harness.terminal import printed_plainly

if __name__ == "__main__":
    with printed_plainly():
        code = main()
    raise SystemExit(code)
