"""``./run.sh fleet``: one run on each chosen machine of a Ray cluster, gathered and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import FILES, Argument, Verb, Words, switch

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Measure on every machine, print a report of the runs, and compare those that arrived."""
    from harness.compare.run_comparison import Request, compare_runs
    from harness.fleet.fleet_run import run_fleet

    typed = {name: values[-1] for name, values in words.values.items() if values[-1]}
    words.is_true("models")  # refuses what is neither
    code, text, arrived = run_fleet(typed, words.defaults, context)
    print(text)
    if len(arrived) > 1:
        results = [word for word in words.overrides if word.startswith("run.results=")]
        request = Request(tuple(arrived), (*arrived, *results))
        print(compare_runs(request, context.results, context.cache), end="")
    return code


VERB = Verb(
    name="fleet",
    rank=150,
    summary="the same run on every machine of a Ray cluster, compared",
    call=call,
    description=(
        "Sends the run to every chosen machine of a Ray cluster, gathers and verifies what they\n"
        "measured, and compares it. docs/fleet.md shows how to start a cluster."
    ),
    arguments=(
        Argument("machines", "all|[NAME,...]|{NAME: N,...}", "on which", "all"),
        Argument("fleet.each", "N", "on how many of each type", otherwise="all that there are"),
        Argument(
            "address",
            "HOST:PORT",
            "where the cluster is",
            otherwise="RAY_ADDRESS, or a cluster on this host",
        ),
        switch("models", "true brings the models back as well"),
        Argument("fleet.id", "ID", "go on with a fleet, or name a new one", otherwise="a new id"),
        Argument(
            "fleet.project",
            "DIR",
            "where the project is on the machines",
            otherwise="where it is here",
            proposes=FILES,
        ),
        Argument(
            "fleet.results", "DIR", "where they keep their runs", otherwise="as configured there"
        ),
        Argument("fleet.wait_s", "SECONDS", "how long a lost machine is waited for", "600"),
    ),
    examples=(
        ("machines=[c6i.4xlarge,c7i.4xlarge] experiment=nightly", ""),
        ("fleet.id=ID", "go on with the runs that have not arrived"),
    ),
    level="fleet",
    measures=True,
)
