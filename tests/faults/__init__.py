"""The fault campaign; ``python -m tests.faults`` runs all of it, tests/test_faults.py a part."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # for the tests' own modules, as pytest does
