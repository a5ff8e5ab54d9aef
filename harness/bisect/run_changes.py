"""What changed between two runs, and over which of it a search can go."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.bisect.search_result import COMMITS, LOCK
from harness.errors import InputError
from harness.facts.nested import differing, listed
from harness.setup.engine_env import PIN
from harness.storage.plan import RunPlan
from harness.storage.same_run import environment
from harness.storage.store import RunFolder

ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==(?:[^\n]*\\\n)*[^\n]*\n?", re.M)


@dataclass(frozen=True)
class Endpoint:
    """One of the two runs of a search."""

    folder: RunFolder
    plan: RunPlan

    @property
    def commit(self) -> str:
        """The commit that its code was of.

        Raises:
            InputError: it is not known, or the code was not as committed.
        """
        checkout, run = self.plan.checkout, self.folder.id
        if checkout is None:
            raise InputError(
                f"run {run} does not say which commit it measured: name a run that a checkout with git "
                "measured since plans keep it"
            )
        if not checkout.clean:
            raise InputError(
                f"run {run} was measured with changes that were not committed, on top of commit "
                f"{checkout.commit[:12]}: commit them, measure a night and name that run"
            )
        return checkout.commit


@dataclass(frozen=True)
class PackageChange:
    """A package whose locked version changed.

    Attributes:
        file: the lock file, from the project's folder.
        before, now: its entry in the lock file with its digests; empty where it has none.
    """

    file: str
    package: str
    before: str
    now: str

    @property
    def said(self) -> str:
        old, new = (_version(entry) for entry in (self.before, self.now))
        return f"{self.package} {old} -> {new}"


def list_changes(good: Endpoint, bad: Endpoint, method: str) -> list[str]:
    """Return what changed of software, of the machine and of the row, one line a key."""
    lines = listed(differing(environment(good.plan), environment(bad.plan)))
    own = f"method.{method}."
    return [line for line in lines if not line.startswith("method.") or line.startswith(own)]


def chosen_search(good: Endpoint, bad: Endpoint, over: str) -> str | None:
    """Return over what the search goes; None where nothing changed that it could go over.

    Args:
        over: what the user chose; empty: commits where the code differs, else the lock.
    """
    if over:
        return over
    checkouts = [one.plan.checkout for one in (good, bad)]
    commits = {checkout.commit for checkout in checkouts if checkout is not None}
    if len(commits) > 1:
        same_code = good.plan.code is not None and good.plan.code == bad.plan.code
        return LOCK if same_code and good.plan.packages != bad.plan.packages else COMMITS
    if good.plan.code != bad.plan.code or good.plan.packages != bad.plan.packages:
        return COMMITS  # which then says what is missing
    return None


def package_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[PackageChange]:
    """Return the packages whose locked versions differ, by file and name.

    Other digests of the same version are no change to search: see ``with_digests``.

    Args:
        before, now: the texts of lock files, by path.
    """
    changes = []
    for file in sorted({**before, **now}):
        old, new = _entries(before.get(file, "")), _entries(now.get(file, ""))
        changes += [
            PackageChange(file, name, old.get(name, ""), new.get(name, ""))
            for name in sorted({**old, **new})
            if _version(old.get(name, "")) != _version(new.get(name, ""))
        ]
    return changes


def with_digests(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return lock files in which each version that is locked now as well has its entry of now.

    An index may have got other files of the same version, such as wheels of more platforms.
    """
    result = dict(before)
    for file in {*before} & {*now}:
        old, new = _entries(before[file]), _entries(now[file])
        for name in {*old} & {*new}:
            if _version(old[name]) == _version(new[name]):
                result[file] = result[file].replace(old[name], new[name])
    return result


def with_changes(texts: Mapping[str, str], changes: Sequence[PackageChange]) -> dict[str, str]:
    """Return lock files with some packages as they are now."""
    result = dict(texts)
    for change in changes:
        text = result.get(change.file, "")  # empty where only the bad commit has the file
        if not change.before:
            text = "\n".join(filter(None, (text.rstrip("\n"), change.now)))
        else:
            text = text.replace(change.before, change.now)
        result[change.file] = text
    return result


def _entries(text: str) -> dict[str, str]:
    """Return the entries of a lock file by package, each with its lines of digests."""
    return {match[1].lower(): match[0].rstrip("\n") + "\n" for match in ENTRY.finditer(text)}


def _version(entry: str) -> str:
    pin = PIN.match(entry)
    return pin[2] if pin else "not there"
