"""Sixty nights and what changes between them: commits, a lock, and what the user acknowledges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

NIGHTS = 60
ROWS = ("int8_full_naive", "int8_smart_naive")  # the two fastest that no search makes
NATIVE = Path("harness", "methods", "native.py")
BEFORE = """    def _quantize(self, context: Context, image: tuple[int, ...]) -> Any:
"""
WORSE = """    def _quantize(self, context: Context, image: tuple[int, ...]) -> Any:
        context = replace(context, net=_worse(self.quantize_mode, context.net, image))
"""
CODE = '''

def _worse(mode: str, net: Any, image: tuple[int, ...]) -> Any:
    """Return the network of one mode with more work, or with a preference for the first class."""
    units, bias = UNITS.get(mode, 0), BIAS.get(mode, 0.0)
    if bias:
        parameters = net.collect_params().items()
        (last,) = (value for name, value in parameters if name.endswith("bias"))
        values = last.data().asnumpy()
        values[0] += bias
        last.set_data(mx.np.array(values))
    return _with_more_work(net, image, units) if units else net


def _with_more_work(net: Any, image: tuple[int, ...], units: int) -> Any:
    """Add the mean of a dense layer over the input to every score: no answer changes."""
    from harness.methods.graph import Graph

    graph = Graph.of(net, image)
    scores = graph.as_symbol()
    (name,) = graph.inputs
    data = scores.get_internals()[name].as_np_ndarray()  # a new variable would be a second input
    weight = mx.sym.var("more_weight").as_np_ndarray()
    more = mx.sym.npx.fully_connected(data, weight, num_hidden=units, no_bias=True)
    made = mx.gluon.SymbolBlock(scores + more.mean(), [data])
    values = mx.np.full((units, image[1] * image[2] * image[3]), 1e-4)
    parameters = {**graph.params, "more_weight": values}
    made.load_dict(parameters, cast_dtype=True, dtype_source="saved")
    return made
'''


@dataclass(frozen=True)
class Code:
    """The state of the code: what is worse than it was, by the mode of the row.

    Attributes:
        units: of the dense layer that is more work.
        bias: of the first class.
    """

    units: Mapping[str, int] = field(default_factory=dict)
    bias: Mapping[str, float] = field(default_factory=dict)

    def patched(self, source: str) -> str:
        """Return the module of the row with what is worse in it.

        Raises:
            ValueError: the module has no place for it any more.
        """
        if source.count(BEFORE) != 1:
            raise ValueError(f"{NATIVE} has no method _quantize to change: adapt {__name__}")
        values = f"\n\nUNITS = {dict(self.units)!r}\nBIAS = {dict(self.bias)!r}\n"
        return source.replace(BEFORE, WORSE) + CODE + values


@dataclass(frozen=True)
class Step:
    """What happens before a night.

    Attributes:
        message: of the commit.
        code: the state of the code from then on; None leaves it as it is.
        lock: versions of packages that are changed, in the lock and in the environment.
        note: a line for a file that no run reads.
        acknowledge: the row of the night before whose shift is accepted, and why.
    """

    message: str = ""
    code: Code | None = None
    lock: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    acknowledge: tuple[str, str] | None = None


def steps(units: Mapping[str, int], bias: float) -> dict[int, Step]:
    """Return what happens before which night.

    Args:
        units: by the mode of the row, as many as take 6 % more time.
        bias: as much as costs some points of accuracy.
    """
    smart = Code(units={"smart": units["smart"]})
    full = Code(units={"full": units["full"]})
    return {
        11: Step("Explain how to read the table", note="The table has one row a method."),
        17: Step("Take the newest idna and certifi", lock={"idna": "3.10", "certifi": "2025.1.31"}),
        23: Step("Calibrate smart rows with one more operator", code=smart),
        28: Step("Take back the operator of smart rows", code=Code()),
        34: Step("Prefer the first class in full rows", code=Code(bias={"full": bias})),
        36: Step(acknowledge=("int8_full_naive", "the first class counts more, on purpose")),
        41: Step("Treat all classes alike again", code=Code()),
        47: Step("Calibrate full rows with one more operator", code=full),
        51: Step(acknowledge=("int8_full_naive", "the operator is wanted")),
        56: Step("Take back the operator of full rows", code=Code()),
    }
