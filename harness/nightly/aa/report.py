"""The results of an A/A run as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from harness.nightly.aa.analysis import AaReport, Alarms
from harness.render.escape import markdown
from harness.render.markdown_table import markdown_table


def to_markdown(report: AaReport, left_out: Sequence[str], hours: float) -> str:
    """Return false alarms, then the noise and the smallest detectable slowdown of each method.

    Args:
        left_out: rows that were not timed in every round, each with its outcome.
        hours: that the timings took, without what was between them.
    """
    settings = report.settings
    powers = list(report.methods[0].detectable)
    least = {power: max(method.detectable[power] for method in report.methods) for power in powers}
    stated = ", ".join(f"{100 * least[power]:.1f} % in {100 * power:g} %" for power in powers)
    return (
        "\n\n".join(
            [
                "# A/A: identical code against itself",
                f"{report.repeats} repeats of {report.rounds} rounds of {len(report.methods)} methods, "
                f"judged with alpha {settings.alpha:g} for a table and a threshold of "
                f"{100 * settings.slower:g} % of time.",
                f"All rounds together took {hours:.1f} hours, with one set of models: "
                "what differs from day to day, after a reboot or after tuning anew is not in them.",
                *([markdown(f"Left out: {', '.join(left_out)}.")] if left_out else []),
                "## False alarms",
                _alarms(report),
                "Before anything is measured again. An alarm is a regression or an improvement in any "
                "row; a difference may also be a change below the threshold; suspected is what a night "
                "would measure again, and only what that confirms wakes anyone. Re-sampling draws whole "
                f"repeats in random order: {report.distinct} different tables can be drawn. The "
                "interval is that of independent "
                f"tables, which those of {report.repeats} repeats are not.",
                _replays(report),
                "## Noise, and the smallest detectable slowdown",
                _methods(report),
                f"A slowdown of one method is suspected, at the worst of the methods: {stated} "
                f"of the re-samplings, against {report.baseline} earlier repeats. Repeats differ by "
                f"{100 * report.common_sd:.2f} % (sd) for all methods at once. Where repeats differ "
                "more than rounds explain, more rounds do not help; more earlier runs do.",
            ]
        )
        + "\n"
    )


def _replays(report: AaReport) -> str:
    replays = report.replays
    if replays is None:
        return (
            "Whole nights, suspicions measured again, were not replayed: that takes ten times the "
            "rounds of a night, repeats=10 or more."
        )
    return (
        f"Whole nights replayed from single rounds, drawn at random: of {replays.histories} histories "
        f"{replays.suspected} had a row measured again, and {replays.alarms} a false alarm."
    )


def _alarms(report: AaReport) -> str:
    rows = [
        ("each repeat against the one before", report.previous),
        (f"each repeat against up to {report.baseline} before", report.pooled),
        (f"re-sampled, against {report.baseline}", report.resampled),
    ]
    headers = [
        "Comparison",
        "Tables",
        "With an alarm",
        "With a difference",
        "95 % interval of that",
        "Suspected",
    ]
    body = [[name, *_counts(alarms)] for name, alarms in rows]
    align = ["left", *["right"] * 5]
    return markdown_table(headers, body, align)


def _counts(alarms: Alarms) -> list[str]:
    rate = alarms.rate
    return [
        str(alarms.tables),
        f"{alarms.waking} ({100 * alarms.waking / alarms.tables:.1f} %)",
        f"{alarms.differing} ({100 * rate.estimate:.1f} %)",
        f"{100 * rate.low:.1f} to {100 * rate.high:.1f} %",
        f"{alarms.suspected} ({100 * alarms.suspected / alarms.tables:.1f} %)",
    ]


def _methods(report: AaReport) -> str:
    powers = list(report.methods[0].detectable)
    headers = [
        "Method",
        "s a batch",
        "Rounds' sd %",
        "Repeats' sd %",
        "of rounds alone",
        *(f"Detected in {100 * power:g} %" for power in powers),
    ]
    body = [
        [
            method.method,
            f"{method.seconds:.4g}",
            f"{100 * method.rounds_sd:.2f}",
            f"{100 * method.repeats_sd:.2f}",
            f"{100 * method.expected_sd:.2f}",
            *(f"+{100 * method.detectable[power]:.1f} %" for power in powers),
        ]
        for method in report.methods
    ]
    align = ["left", *["right"] * (len(headers) - 1)]
    return markdown_table(headers, body, align)
