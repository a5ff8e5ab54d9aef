"""The values that keys of a configuration may have, with the words that say so to a user."""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.
from typing import Annotated, Any, Literal, Union

from msgspec import Meta

from harness.facts.faults import LONGEST_S
from harness.facts.typed import MOST, Number, Positive

_Seconds = Union[
    Annotated[int, Meta(ge=0, lt=LONGEST_S)], Annotated[float, Meta(ge=0, lt=LONGEST_S)]
]
FEWEST_QUERIES = 459  # with fewer no trial can pass (``harness/serving/early_stopping.py``)
Queries = Annotated[
    int,
    Meta(
        ge=FEWEST_QUERIES,
        lt=1 << 53,
        description=f"a whole number of at least {FEWEST_QUERIES}",
    ),
]
Precision = Annotated[float, Meta(ge=0.001, le=0.5, description="a number from 0.001 to 0.5")]
WarmUp = Annotated[_Seconds, Meta(description="a number of seconds from 0 up, below 1e9")]
Classes = Annotated[
    int, Meta(ge=2, le=1 << 16, description="a whole number of at least 2 and at most 65536")
]
Sizes = Annotated[
    tuple[Positive, ...],
    Meta(
        description="a list of whole numbers of at least 1, such as [1,8]; see "
        "conf/protocol/careful.yaml"
    ),
]
Instances = Annotated[
    Union[Literal["auto"], tuple[Positive, ...]],
    Meta(description="auto, a list of whole numbers of at least 1 such as [1,2,4], or null"),
]
ThreadCounts = Annotated[
    tuple[Positive, ...],
    Meta(description="a list of whole numbers of at least 1, such as [1,2,4], or null"),
]
Mean = Annotated[tuple[Number, Number, Number], Meta(description="three numbers, [R,G,B]")]
AboveZero = Union[Annotated[int, Meta(gt=0)], Annotated[float, Meta(gt=0, le=MOST)]]
Deviation = Annotated[
    tuple[AboveZero, AboveZero, AboveZero],
    Meta(description="three numbers above 0, [R,G,B]"),
]
FilePath = Annotated[str, Meta(pattern=r"\A[^\x00]+\Z", description="the path of a file or folder")]
CommandLine = Annotated[
    str, Meta(pattern=r"\A[^\x00]*\S[^\x00]*\Z", description="a command and its words")
]
OwnPath = Union[str, Any]  # a path, or what a class of one's own takes under that name
