"""The reproducibility checklist of a report: lists that reviewers use, filled from the run's record.

What only a person can answer stays open and is marked. The questions are worded after

* ACM, Artifact Review and Badging, version 1.1 (2020);
* the artifact check-list of the artifact appendix of MLSys and other conferences (cTuning);
* Pineau et al., The Machine Learning Reproducibility Checklist, version 2.0 (NeurIPS 2019 and later);
* the NeurIPS Paper Checklist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.render.escape import markdown_cell
from harness.report.artifact.answers import (
    NO,
    NONE,
    OPEN,
    PARTLY,
    YES,
    Answer,
    answers,
    unanswered,
)
from harness.report.evidence import RunDigests
from harness.table.loaded_run import LoadedRun


@dataclass(frozen=True)
class Item:
    """A question of a list with its answer."""

    question: str
    answer: Answer


@dataclass(frozen=True)
class Checklist:
    """One list."""

    title: str
    items: Sequence[Item]


AUTHORS = "To be answered by the authors."
OTHERS = "Only reviewers or other authors can show that."
DEPOSIT = (
    "Deposit the pack that ./run.sh pack for=review writes in an archive that gives it a DOI. Its "
    "review/zenodo.json has the metadata."
)
Question = tuple[str, "str | Answer"]  # with the name of the fact, or with what is left to answer

QUESTIONS: Mapping[str, Sequence[Question]] = {
    "ACM artifact badges, version 1.1": (
        ("Artifacts Available", unanswered(DEPOSIT)),
        ("Artifacts Evaluated – Functional: documented, exercisable, verified", "functional"),
        ("Artifacts Evaluated – Functional: complete", "rows"),
        ("Artifacts Evaluated – Reusable", unanswered(OTHERS)),
        ("Results Validated – Reproduced (other team, this artifact)", unanswered(OTHERS)),
        ("Results Validated – Replicated (other team, own artifact)", unanswered(OTHERS)),
    ),
    "Artifact check-list of MLSys": (
        ("Algorithm", "algorithm"),
        ("Program", "program"),
        ("Compilation and binary", "binary"),
        ("Transformations", "preparation"),
        ("Model", "model"),
        ("Data set", "data"),
        ("Run-time environment", "environment"),
        ("Hardware", "hardware"),
        ("Run-time state", "state"),
        ("Execution", "command"),
        ("Metrics", "metrics"),
        ("Output", "output"),
        ("Experiments", "rows"),
        ("How much disk space is required", "disk"),
        ("How much time is needed to prepare the workflow", "preparing"),
        ("How much time is needed to complete the experiments", "time"),
        ("Publicly available", unanswered(DEPOSIT)),
        ("Code licences", "code_licence"),
        ("Data licences", "data_licence"),
        ("Archived, with a DOI", unanswered(DEPOSIT)),
    ),
    "Machine learning reproducibility checklist, version 2.0 (NeurIPS)": (
        ("A clear description of the setting, the algorithm and the model", "setting"),
        ("A clear explanation of any assumptions", unanswered(AUTHORS)),
        ("An analysis of the complexity: time, space, sample size", unanswered(AUTHORS)),
        ("Theoretical claims: statements and proofs", unanswered(AUTHORS)),
        ("Data: relevant statistics", "data"),
        ("Data: splits for training, validation and testing", "split"),
        ("Data: excluded data and preprocessing", "preparation"),
        ("Data: a link to a version that can be downloaded", "data_access"),
        ("New data: how it was collected", unanswered(AUTHORS)),
        ("Code: dependencies", "dependencies"),
        ("Code: training", "training"),
        ("Code: evaluation", "evaluation"),
        ("Code: pre-trained models", "model"),
        ("Code: the precise command that gives the results", "command"),
        ("Hyper-parameters: range, selection, final values", "hyperparameters"),
        ("The exact number of training and evaluation runs", "runs"),
        ("The definition of each measure", "metrics"),
        ("Central tendency and variation", "spread"),
        ("The runtime of each result, or its energy", "energy"),
        ("The computing infrastructure", "hardware"),
    ),
    "NeurIPS paper checklist": (
        ("1. Claims", unanswered(AUTHORS)),
        ("2. Limitations", "limits"),
        ("3. Theory, assumptions and proofs", unanswered(AUTHORS)),
        ("4. Reproducibility of experimental results", "command"),
        ("5. Open access to data and code", unanswered(DEPOSIT)),
        ("6. Experimental setting and details", "setting"),
        ("7. Statistical significance of experiments", "spread"),
        ("8. Compute resources of experiments", "time"),
        ("9. Code of ethics", unanswered(AUTHORS)),
        ("10. Broader impacts", unanswered(AUTHORS)),
        ("11. Safeguards", unanswered(AUTHORS)),
        ("12. Licences of existing assets: code", "code_licence"),
        ("12. Licences of existing assets: data and models", "data_licence"),
        ("13. New assets", "output"),
        ("14. Crowdsourcing and research with human subjects", unanswered(AUTHORS)),
        ("15. Approval of research with human subjects", unanswered(AUTHORS)),
        ("16. Declaration of the use of large language models", unanswered(AUTHORS)),
    ),
}


def checklists(run: LoadedRun, digests: RunDigests, command: str) -> list[Checklist]:
    """Return the lists, filled from the record of a run.

    Args:
        command: the one that repeats the run.
    """
    facts = answers(run, digests, command)
    return [
        Checklist(
            title,
            [
                Item(question, answer if isinstance(answer, Answer) else facts[answer])
                for question, answer in questions
            ],
        )
        for title, questions in QUESTIONS.items()
    ]


def counts(lists: Sequence[Checklist]) -> dict[str, int]:
    """Return how many items have each status."""
    statuses = [item.answer.status for one in lists for item in one.items]
    return {status: statuses.count(status) for status in (YES, PARTLY, NO, NONE, OPEN)}


def to_markdown(lists: Sequence[Checklist]) -> str:
    """Return the lists as Markdown; a box is ticked where the record answers with yes."""
    lines = [
        "# Reproducibility checklist",
        "",
        "Filled from the record of the run. Where it says open, only a person can answer.",
    ]
    for one in lists:
        lines += ["", f"## {markdown_cell(one.title)}", ""]
        for item in one.items:
            box = "x" if item.answer.status == YES else " "
            lines.append(
                f"- [{box}] {markdown_cell(item.question)}: {item.answer.status}. "
                f"{markdown_cell(item.answer.said)}"
            )
    return "\n".join(lines) + "\n"
