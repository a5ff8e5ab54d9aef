"""What a search over changes came to, as text and as JSON."""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Optional

from harness.bisect.pairs import Comparison, Version
from harness.nightly.sequential_test import ALPHA
from harness.render.escape import markdown, markdown_cell
from harness.render.markdown_table import markdown_table

Outcome = Literal[
    "found",
    "several",
    "nothing to find",
    "not separable",
    "not measured",
    "nothing changed",
    "not searchable",  # what changed is in no commit or lock file, or was taken back
]
COMMITS, LOCK = "commits", "lock"  # what a search goes over
PACKAGES = ("packages", "versions")  # parts of a plan, as in ``Result.changes``


@dataclass(frozen=True)
class Result:
    """A search.

    Attributes:
        good, bad: ids of the runs.
        over: over what it went; empty where nothing changed that it could go over.
        changes: what differs between the runs, one line a key.
        comparisons: in the order in which they were measured.
        planned: how many comparisons share the error.
        suspects: the changes that may be it; one where it was found.
        confirmation: the suspect against what stands just before it.
        why: more, where the outcome needs it.
    """

    good: str
    bad: str
    method: str
    metric: str
    outcome: Outcome
    over: str = ""
    changes: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    planned: int = 0
    suspects: tuple[str, ...] = ()
    confirmation: Optional[Comparison] = None
    why: str = ""

    @property
    def error(self) -> float:
        """The chance at most that any comparison of identical code is called bad."""
        return ALPHA * max(1.0, len(self.comparisons) / max(self.planned, 1))

    @property
    def became_worse(self) -> bool:
        """Whether the bad run's version was confirmed to be worse, whatever the search led to."""
        return bool(self.comparisons) and self.comparisons[0].answer == "bad"

    @property
    def headline(self) -> str:
        row = f"{self.method} {self.metric}"
        if self.outcome == "found":
            assert self.confirmation is not None
            return f"found: {self.suspects[0]} made {row} worse ({self.confirmation.said})"
        if self.outcome == "several":
            listed = "; ".join(self.suspects)
            return f"not separable: one of {len(self.suspects)} made {row} worse: {listed}"
        why = f": {self.why}" if self.why else ""
        return f"{self.outcome}{why}"


def unsearchable(result: Result) -> Result:
    """Return the result of a search without steps: whether what it goes over changed all the same."""
    parts = PACKAGES if result.over == LOCK else ("code", *PACKAGES)
    keys = [line.split(":")[0] for line in result.changes]
    changed = [key for key in keys if key.split(".")[0] in parts]
    if not changed:
        return result
    why = (
        f"{result.why}, but the runs differ in {', '.join(changed)}: a folder given with --conf, or "
        "packages that were installed by hand"
    )
    return replace(result, outcome="not searchable", why=why)


def taken_back(result: Result, good: Version, bad: Version, paths: Sequence[str]) -> Result:
    """Return the result where only the good run's commit has changes of what is measured."""
    log = f"git log {bad.name[:12]}..{good.name[:12]} -- {' '.join(paths)}"
    why = (
        f"{bad.said} of run {result.bad} has no change that {good.said} of run {result.good} lacks, but "
        "lacks some of its changes: one that made the row better was taken back, or is not there yet. A "
        f"search finds what makes a row worse; look among these: {log}"
    )
    return replace(result, outcome="not searchable", why=why)


def beside(good: Version, bad: Version) -> str:
    """Return the warning before a search between commits of two branches."""
    return (
        f"warning: {good.said} is no ancestor of {bad.said}: the search goes from where their branches "
        "part, and fails if the row is as bad there"
    )


def only_said(changes: Sequence[str]) -> str:
    """Return what changed where no software did: the kernel, the microcode, or settings."""
    if not changes:
        return "code, packages and machine are the same in both runs"
    return f"neither code nor packages; only {'; '.join(changes)}, which no search separates"


def to_json(result: Result) -> dict[str, Any]:
    """Return a search for programs."""
    return {**asdict(result), "headline": result.headline, "error": result.error}


def to_markdown(result: Result) -> str:
    """Return the headline, what changed, every comparison, and how the search errs."""
    title = f"Bisect of {result.method} {result.metric}, {result.good} to {result.bad}"
    parts = [f"# {markdown_cell(title)}", f"**{markdown_cell(result.headline)}**"]
    if result.changes:
        listed = "\n".join(f"- {markdown(line)}" for line in result.changes)
        parts.append(f"Changed between the runs:\n\n{listed}")
    if result.comparisons:
        rows = [[one.now, one.before, one.said] for one in result.comparisons]
        parts.append(markdown_table(["Measured", "In turn with", "Result"], rows))
        parts.append(_errors(result))
    return "\n\n".join(parts) + "\n"


def _errors(result: Result) -> str:
    return (
        f"{len(result.comparisons)} comparisons. The chance that any of them calls identical code bad "
        f"is at most {100 * result.error:.2g} %. A version is called good where the one-sided 95 % "
        "bound excludes half of the difference between the runs, or the threshold; what neither holds "
        "for is not separable. The change that is named was measured in turn with what stands just "
        "before it."
    )
