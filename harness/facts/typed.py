"""Decode JSON values into typed records, and say what is wrong with a value that is not one.

A type is a msgspec struct, a dataclass, a TypedDict, or any annotation that msgspec knows.
``Meta.description`` says what a value must be, in the words of error messages. Keys that a type does
not name may be there; ``Facts`` keep them. ``New`` says what holds of new values alone, where a stored
one may be of an earlier version.
"""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.
import dataclasses
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    Optional,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import Meta

from harness.facts import faults
from harness.facts.faults import LONGEST_S, MISSING, PLAIN_NAME, Fault, first_fault, key_inside

NAME = rf"\A(?a:{faults.NAME.pattern})\Z"
INSIDE_PATH = rf"\A(?a:(?:{faults.NAME.pattern}/){{0,8}}{faults.NAME.pattern})\Z"
MOST = sys.float_info.max

# int and float apart, so that a number is written again as it was read
Number = Annotated[
    Union[
        Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)],
        Annotated[float, Meta(ge=-MOST, le=MOST)],  # infinity is beyond
    ],
    Meta(description="a finite number"),
]
Seconds = Annotated[
    Union[Annotated[int, Meta(ge=0, lt=LONGEST_S)], Annotated[float, Meta(ge=0, lt=LONGEST_S)]],
    Meta(description="a time of at least 0"),
]
Duration = Annotated[
    Union[Annotated[int, Meta(gt=0, lt=LONGEST_S)], Annotated[float, Meta(gt=0, lt=LONGEST_S)]],
    Meta(description="a time above 0"),
]
Share = Annotated[
    Union[Annotated[int, Meta(ge=0, le=1)], Annotated[float, Meta(ge=0, le=1)]],
    Meta(description="a number from 0 to 1"),
]
Count = Annotated[int, Meta(ge=0, lt=1 << 53, description="a whole number of at least 0")]
Positive = Annotated[int, Meta(ge=1, lt=1 << 53, description="a whole number of at least 1")]
Name = Annotated[str, Meta(pattern=NAME, description=PLAIN_NAME)]
InsidePath = Annotated[str, Meta(pattern=INSIDE_PATH, description="a path inside the run's folder")]
Sha256 = Annotated[
    str, Meta(pattern=rf"\A{faults.SHA256.pattern}\Z", description="64 hexadecimal digits")
]
Texts = Annotated[dict[str, str], Meta(description="an object of texts")]

WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
BARE = frozenset({*WORDS, type(None)})  # types of values that have nothing inside
T = TypeVar("T")
JsonObject = dict[str, Any]  # as a file, a pipe or YAML has it


@dataclasses.dataclass(frozen=True)
class New:
    """In the annotation of a field: what a new value must be. A stored one is of the field's own type.

    Attributes:
        kind: its type, which the field's own includes; None for the same.
        required: whether a new object must have the field.
    """

    kind: Any = None
    required: bool = True


class Facts(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """An object of a record, with all that stood in the file beside what is read.

    A field that is None by default was not in the file, or was null there.

    Attributes:
        nulls: whether fields that are None are written, as null, where there was no file.
    """

    nulls: ClassVar[bool] = False

    @property
    def stored(self) -> JsonObject:
        """The JSON object that it was decoded from, or that its fields make."""
        if "stored" in self.__dict__:
            return dict(self.__dict__["stored"])
        values = ((key, plain(getattr(self, name))) for key, name in _keys(type(self)))
        return {key: value for key, value in values if self.nulls or value is not None}


@cache
def _keys(kind: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    """Return the key in JSON and the name of each field."""
    return tuple((field.encode_name, field.name) for field in msgspec.structs.fields(kind))


F = TypeVar("F", bound=Facts)


class Mistyped(ValueError):
    """A value is not of its type; the message names the dotted key and what should be there."""


def decode(value: object, kind: type[T]) -> T:
    """Return a JSON value as the type that it must be.

    Raises:
        Mistyped: it is not.
    """
    try:
        decoded = msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError):
        raise Mistyped(str(fault(value, kind) or "it is not what it should be")) from None
    _remember(decoded, value)
    return decoded


def changed(facts: F, **values: Any) -> F:
    """Return facts with some values changed or added, first the added ones; the others are kept."""
    added = {key: value for key, value in values.items() if key not in facts.stored}
    return decode({**added, **facts.stored, **values}, type(facts))


def plain(value: Any) -> Any:
    """Return a typed value as JSON has it."""
    if isinstance(value, Facts):
        return value.stored
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _remember(decoded: object, value: Any) -> None:
    """Have decoded facts know the objects that they came from."""
    if isinstance(decoded, Facts):
        decoded.__dict__["stored"] = value
    elif isinstance(decoded, dict):
        for key, item in decoded.items():
            if type(item) not in BARE:  # which most of a record is
                _remember(item, value[key])
    elif isinstance(decoded, list) and decoded and _is_object(type(decoded[0])):
        for item, stored in zip(decoded, value):
            _remember(item, stored)
    if isinstance(decoded, msgspec.Struct):
        for key, name in _keys(type(decoded)):
            inner = getattr(decoded, name)
            if type(inner) not in BARE and key in value:
                _remember(inner, value[key])
    elif dataclasses.is_dataclass(decoded):
        for field in dataclasses.fields(decoded):
            inner = getattr(decoded, field.name)
            if type(inner) not in BARE and field.name in value:
                _remember(inner, value[field.name])


def fault(value: Any, kind: Any, at: str = "", new: bool = False) -> Optional[Fault]:
    """Return the first thing that is wrong with a value; None if nothing is.

    Args:
        at: its dotted key; empty for the whole.
        new: whether it must also be what ``New`` says.
    """
    if not new and _is_a(value, kind):
        return None
    description, bare = _described(kind)
    inside = None if description else first_fault(_faults_inside(value, bare, at, new))
    if inside is not None or _is_a(value, kind):
        return inside
    return Fault(at, value, description or _usual_description(bare))


def _faults_inside(value: Any, kind: Any, at: str, new: bool) -> Iterator[Optional[Fault]]:
    if isinstance(value, Mapping) and _is_object(kind):
        for name, inner, required in _fields(kind, new):
            if name in value:
                yield fault(value[name], inner, key_inside(at, name), new)
            elif required:
                yield Fault(key_inside(at, name), MISSING, "something")
    elif isinstance(value, Mapping) and get_origin(kind) is dict:
        key_kind, inner = get_args(kind)
        yield from (fault(key, key_kind, f"a key of {at or 'it'}") for key in value)
        yield from (fault(item, inner, key_inside(at, key), new) for key, item in value.items())
    elif isinstance(value, (list, tuple)) and get_origin(kind) in (list, tuple):
        inner = get_args(kind)[0]
        yield from (fault(item, inner, f"{at}[{n}]", new) for n, item in enumerate(value))


def _is_a(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError):
        return False
    return True


def _described(kind: Any) -> tuple[Optional[str], Any]:
    """Return the description of a type, if it has one, and the type without ``Annotated`` and None."""
    description = None
    while True:
        if get_origin(kind) is Annotated:
            kind, *metas = get_args(kind)
            texts = (meta.description for meta in metas if isinstance(meta, Meta))
            description = description or next(filter(None, texts), None)
        elif get_origin(kind) is Union and type(None) in get_args(kind):
            kind = Union[tuple(one for one in get_args(kind) if one is not type(None))]
        else:
            return description, kind


def _usual_description(kind: Any) -> str:
    """Return what a value of a type must be, in words, where the type does not say it."""
    if get_origin(kind) in (list, tuple):
        return "a list"
    if get_origin(kind) is Literal:
        *names, last = map(str, get_args(kind))
        return f"{', '.join(names)} or {last}"
    return "an object" if _is_object(kind) else WORDS.get(kind, "an object")


def _is_object(kind: Any) -> bool:
    return isinstance(kind, type) and (
        issubclass(kind, msgspec.Struct)
        or dataclasses.is_dataclass(kind)
        or hasattr(kind, "__total__")  # a TypedDict
    )


@cache
def _fields(kind: Any, new: bool) -> tuple[tuple[str, Any, bool], ...]:
    """Return each field of a type of objects: its key, its type, whether it must be there."""
    fields = []
    info = msgspec.inspect.type_info(kind)
    hints = get_type_hints(kind, include_extras=True)
    for field in info.fields:  # type: ignore[attr-defined]  # all kinds of objects have them
        hint, required = hints[field.name], field.required
        marks = (mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, New))
        for mark in marks if new else ():
            hint, required = mark.kind or hint, mark.required
        fields.append((field.encode_name, hint, required))
    return tuple(fields)


def text_keys(kind: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the keys of an object's values that are texts, from the top down; ``*`` is any name."""
    _, kind = _described(kind)
    if _is_object(kind):
        fields = (*_fields(kind, False), *_fields(kind, True))
        for name, inner in dict.fromkeys((name, inner) for name, inner, _ in fields):
            yield from text_keys(inner, (*at, name))
    elif get_origin(kind) is dict:
        yield from text_keys(get_args(kind)[1], (*at, "*"))
    elif kind is str or (get_origin(kind) is Union and str in get_args(kind)):
        yield at


def one_of(names: Iterable[str], why: str = "") -> Meta:
    """Return what ``Annotated`` makes texts on a list with; ``why`` is said of others."""
    *before, last = names
    listed = f"{', '.join(before)} or {last}"
    return Meta(
        pattern=rf"\A(?:{'|'.join(map(re.escape, (*before, last)))})\Z",
        description=f"{listed} ({why})" if why else listed,
    )


def unkept(value: Any, at: str = "") -> Optional[Fault]:
    """Return the first thing in a value that JSON would not keep as it is; None if there is none."""
    if isinstance(value, Mapping):
        keys = (fault(key, str, f"a key of {at or 'it'}") for key in value)
        wrong = first_fault(keys)
        if wrong is not None:
            return dataclasses.replace(wrong, expected="a key in quotes, since keys are texts")
        return first_fault(unkept(item, key_inside(at, key)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return first_fault(unkept(item, f"{at}[{n}]") for n, item in enumerate(value))
    is_number = isinstance(value, (int, float)) and abs(value) <= MOST
    if value is None or isinstance(value, (str, bool)) or is_number:
        return None
    return Fault(at, value, "a text, a finite number, true, false or null: JSON keeps nothing else")
