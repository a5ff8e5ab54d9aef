"""INC's strategies and the project's own rows on networks whose defect is known.

./run.sh benchmark strategies [--seeds N] [--tuning N] [--held-back N] [--full] [--out DIR]
"""

DEFECTS = (
    "none",
    "first",
    "middle",
    "two",
    "residual",
    "heavy tails",
)  # names of those in models.py
