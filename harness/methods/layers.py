"""Which layer of a Gluon network makes which node of its graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from mxnet import _deferred_compute as tracing
from mxnet.gluon import Block

Layers = dict[str, str]  # the dotted path of a layer, by the name of a node


@contextmanager
def layers_noted(net: Any) -> Iterator[Layers]:
    """Fill the dict while ``net``, which is hybridized, is traced.

    A node belongs to the innermost layer in whose forward pass it is made. The network itself is no
    layer, so what it makes beside its layers stays out.
    """
    layers: Layers = {}
    handles = []
    for path, layer in _layers(net, ""):

        def note(layer: Any, read: Any, written: Any, path: str = path) -> None:
            if not tracing.is_deferred_compute():
                return
            outside = {name for array in _arrays(read) for name in _nodes(array)}
            for array in _arrays(written):
                for name in _nodes(array):
                    if name not in outside:
                        layers.setdefault(name, path)  # the inner layers ended first

        handles.append(layer.register_forward_hook(note))
    try:
        yield layers
    finally:
        for handle in handles:
            handle.detach()


def _layers(block: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, child in block._children.items():
        layer = child if isinstance(child, Block) else child()  # a weak reference
        inside = f"{path}.{name}" if path else str(name)
        yield from _layers(layer, inside)
        yield inside, layer


def _arrays(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for inner in value:
            yield from _arrays(inner)
    elif hasattr(value, "handle"):
        yield value


def _nodes(array: Any) -> Iterable[str]:
    return [node.name for node in tracing.get_symbol(array).get_internals()]
