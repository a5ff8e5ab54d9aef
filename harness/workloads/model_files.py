"""Check a model's files before MXNet reads them: its native readers trust their input.

Weights are either what MXNet 2.0 writes, a zip of ``.npy`` members, or the list of arrays that MXNet 1
wrote (``src/ndarray/ndarray.cc``, ``NDArray::Save``) and that the Gluon zoo still hands out. A symbol is
a graph as JSON: its nodes in order, each with the numbers of the nodes it takes.
"""

from __future__ import annotations

import math
import os
import struct
import zipfile
from pathlib import Path
from typing import IO, Any

from harness.errors import InputError
from harness.files.reading import BROKEN, LARGEST_JSON, BadArray, header_of, parse_json

Node = dict[str, Any]  # of MXNet's JSON: op, name, attrs, and inputs as [node, output, version]
SymbolGraph = dict[str, Any]  # a symbol in MXNet's JSON: nodes, heads, arg_nodes, node_row_ptr

LIST_MAGIC = 0x112
ARRAY_V1, ARRAY_V2, ARRAY_V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
TYPE_BYTES = (4, 8, 2, 1, 4, 1, 8, 1, 2, 2, 4, 8, 2)  # by mshadow's number of the type
TYPES = ("f4", "f8", "f2", "u1", "i4", "i1", "i8", "b1", "i2", "u2", "u4", "u8")  # in .npy members
MOST_ARRAYS, MOST_SIDES, LONGEST_NAME = 100_000, 32, 4096
MOST_BYTES = 1 << 36  # of an array
DEEPEST = 4  # graphs in nodes of graphs
BLOCK = 1 << 20


class Unfilled(BadArray):
    """The array is whole and has no values, in a file of MXNet 1."""


def check_weights(file: Path, path: Path | None = None, key: str = "workload.params") -> None:
    """Raise InputError if a file of weights is damaged.

    Args:
        path: what a message calls the file, where it is a copy.
        key: of the configuration that names it.

    Raises:
        InputError: it is damaged, or no file of weights; the message says where.
    """
    path = path or file
    try:
        with file.open("rb") as handle:
            start = handle.read(8)
            if start[:4] in (b"PK\3\4", b"PK\5\6"):
                _check_archive(handle)
            elif len(start) == 8 and struct.unpack("<Q", start)[0] == LIST_MAGIC:
                _check_list(handle, os.fstat(handle.fileno()).st_size)
            else:
                raise BadArray(f"it begins with {start!r}" if start else "it is empty")
    except BROKEN as error:
        if isinstance(error, Unfilled):
            raise InputError(
                f"the weights {path} hold an array that was never filled ({error}): save the network "
                "after it was initialized"
            ) from None
        said = f"{type(error).__name__}: {error}" if not isinstance(error, BadArray) else str(error)
        raise InputError(
            f"the weights {path} are damaged or no file that MXNet wrote ({said}): check "
            f"{key}, or copy the file again"
        ) from None


def check_symbol(file: Path, path: Path | None = None, key: str = "workload.symbol") -> SymbolGraph:
    """Return a symbol's graph; raise InputError if it is damaged.

    Args:
        path: what a message calls the file, where it is a copy.
        key: of the configuration that names it.

    Raises:
        InputError: it is damaged, or no symbol.
    """
    path = path or file
    try:
        with file.open("rb") as handle:
            graph = parse_json(handle.read(LARGEST_JSON + 1))
        _check_graph(graph, DEEPEST)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(
            f"the symbol {path} cannot be read ({type(error).__name__}: {str(error)[:200]}): check "
            f"{key}"
        ) from None
    return dict(graph)


def _check_archive(handle: IO[bytes]) -> None:
    with zipfile.ZipFile(handle) as archive:
        members = archive.infolist()
        if len(members) > MOST_ARRAYS:
            raise BadArray(f"it has {len(members)} arrays")
        if len({member.filename for member in members}) != len(members):
            raise BadArray("it has an array twice")
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED:
                raise BadArray(f"{member.filename[:80]!r} is compressed, which MXNet does not do")
            with archive.open(member) as array:
                try:
                    _check_member(array, member.file_size)
                except BadArray as error:
                    raise BadArray(f"{member.filename[:80]!r}: {error}") from None


def _check_member(array: IO[bytes], size: int) -> None:
    shape, _, dtype, start = header_of(array)
    if dtype.byteorder == ">":
        raise BadArray(f"its numbers ({dtype.str}) are in the other byte order")
    if dtype.str[1:] not in TYPES:
        raise BadArray(f"MXNet has no type for {dtype.str}")
    if len(shape) > MOST_SIDES or start + math.prod(shape) * dtype.itemsize != size:
        raise BadArray(f"its shape {shape} of {dtype.str} does not fit its {size - start} bytes")
    left = size - start
    while block := array.read(min(BLOCK, left)):  # the archive checks its CRC-32 at the end
        left -= len(block)
    if left or array.read(1):
        raise BadArray(f"it ends {left} bytes early")


class _Reader:
    """Numbers of a file, little-endian, never past its end."""

    def __init__(self, handle: IO[bytes], size: int) -> None:
        self._handle, self._size = handle, size

    def numbers(self, form: str) -> tuple[Any, ...]:
        what = struct.Struct("<" + form)
        return what.unpack(self.bytes(what.size))

    def bytes(self, count: int) -> bytes:
        self._within(count)
        return self._handle.read(count)

    def skip(self, count: int) -> None:
        self._within(count)
        self._handle.seek(count, os.SEEK_CUR)

    @property
    def left(self) -> int:
        return self._size - self._handle.tell()

    def _within(self, count: int) -> None:
        if count > self.left:
            raise BadArray(f"it ends {count - self.left} bytes early")


def _check_list(handle: IO[bytes], size: int) -> None:
    read = _Reader(handle, size)
    _, arrays = read.numbers("QQ")
    if arrays > MOST_ARRAYS:
        raise BadArray(f"it claims {arrays} arrays")
    for number in range(arrays):
        try:
            _check_array(read)
        except BadArray as error:
            raise type(error)(f"array {number}: {error}") from None
    (count,) = read.numbers("Q")
    if count not in (0, arrays):
        raise BadArray(f"it has {arrays} arrays and claims {count} names")
    names = set()
    for _ in range(count):
        (length,) = read.numbers("Q")
        if length > LONGEST_NAME:
            raise BadArray(f"it claims a name of {length} bytes")
        try:
            names.add(read.bytes(length).decode("utf-8"))
        except UnicodeDecodeError:
            raise BadArray("a name in it is no text") from None
    if len(names) != count:
        raise BadArray("it has a name twice")
    if read.left:
        raise BadArray(f"{read.left} bytes follow its end")


def _check_array(read: _Reader) -> None:
    (magic,) = read.numbers("I")
    if magic in (ARRAY_V2, ARRAY_V3):
        (storage,) = read.numbers("i")
        if storage != 0:
            raise BadArray(f"it is sparse (storage {storage}), which no network here takes")
        sides = _sides(read, "q")
    elif magic == ARRAY_V1:
        sides = _sides(read, "q")
    elif magic <= MOST_SIDES:  # the oldest form has no magic number: this is how many sides follow
        sides = read.numbers(f"{magic}I")
    else:
        raise BadArray(f"its magic number is {magic:#010x}")
    if not sides and magic != ARRAY_V3:
        raise Unfilled("it has no sides and no values")
    if any(side < 0 for side in sides):
        raise BadArray(f"its shape is {tuple(sides)}")
    _, _, kind = read.numbers("iii")  # the device and its number say nothing here
    if not 0 <= kind < len(TYPE_BYTES):
        raise BadArray(f"its type is {kind}, which MXNet does not have")
    claimed = math.prod(sides) * TYPE_BYTES[kind]
    if claimed > MOST_BYTES:
        raise BadArray(f"its shape {tuple(sides)} claims {claimed} bytes")
    read.skip(claimed)


def _sides(read: _Reader, form: str) -> tuple[int, ...]:
    (count,) = read.numbers("i")
    if not 0 <= count <= MOST_SIDES:
        raise BadArray(f"it claims {count} dimensions")
    return read.numbers(f"{count}{form}")


def _check_graph(graph: SymbolGraph, deepest: int) -> None:
    """Check that nodes only take earlier nodes, so no cycle, and that heads and arguments are nodes."""
    nodes = graph["nodes"]
    if not isinstance(nodes, list) or not nodes:
        raise ValueError("it has no nodes")
    for number, node in enumerate(nodes):
        where = f"node {number}"
        for key in ("op", "name"):
            if not isinstance(node[key], str):
                raise ValueError(f"{where} has no {key}")
        for key in ("attrs", "attr", "param"):
            attributes = node.get(key, {})
            if not isinstance(attributes, dict) or not all(
                isinstance(v, str) for v in attributes.values()
            ):
                raise ValueError(f"{where} has {key} that are no texts")
        for entry in node["inputs"]:
            _check_entry(entry, number, where)
        if node["op"] == "null" and node["inputs"]:
            raise ValueError(f"{where} is a variable and takes others")
        for dependency in node.get("control_deps", []):
            _check_number(dependency, number, where)
        if node.get("subgraphs") and not deepest:
            raise ValueError(f"{where}: graphs in graphs in graphs")
        for inner in node.get("subgraphs", []):
            _check_graph(inner, deepest - 1)
    for number in graph["arg_nodes"]:
        _check_number(number, len(nodes), "arg_nodes")
        if nodes[number]["op"] != "null":
            raise ValueError(f"node {number} of arg_nodes is no variable")
    heads = graph["heads"]
    if not isinstance(heads, list) or not heads:
        raise ValueError("it has no heads")
    for entry in heads:
        _check_entry(entry, len(nodes), "heads")
    pointers = graph.get("node_row_ptr", [])
    if not isinstance(pointers, list) or not all(
        _is_count(pointer) and pointer < 1 << 31 for pointer in pointers
    ):
        raise ValueError("node_row_ptr holds no numbers")


def _check_entry(entry: Any, nodes: int, where: str) -> None:
    if not isinstance(entry, list) or not 2 <= len(entry) <= 3 or not all(map(_is_count, entry)):
        raise ValueError(f"{where} takes {str(entry)[:40]}")
    _check_number(entry[0], nodes, where)
    if entry[1] > 1 << 16:
        raise ValueError(f"{where} takes output {entry[1]}")


def _check_number(value: Any, nodes: int, where: str) -> None:
    if not _is_count(value) or value >= nodes:
        raise ValueError(f"{where} names node {str(value)[:40]}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
