"""Dataclasses from the JSON values that they were stored as: every field, of its type, or an error.

A field that is missing must not be filled in: zero looks like something that was measured.
"""

from __future__ import annotations

from dataclasses import is_dataclass
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from fathom.errors import UserError


def read(kind: Any, value: Any, where: str) -> Any:
    """A JSON value -> a value of this type: a dataclass, a list, a tuple, a dict, a plain value, or
    one of these or None. where: what it is called in an error.

    Raises UserError for a field too many, one that is missing, and a value of another type.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _fields_of(kind, value, where)
    if origin is UnionType:  # of something and None
        return None if value is None else read(inner[0], value, where)
    if origin is dict:
        _require(isinstance(value, dict), where, value, "names with values")
        return {key: read(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin in (list, tuple):
        _require(isinstance(value, list), where, value, "a list")
        kinds = inner if origin is tuple else inner * len(value)
        _require(len(kinds) == len(value), where, value, f"a list of {len(kinds)}")
        pairs = enumerate(zip(kinds, value, strict=True))
        return origin(read(of, item, f"{where}[{n}]") for n, (of, item) in pairs)
    plain: Any = {float: (int, float), Any: object}.get(kind, kind)
    _require(isinstance(value, plain), where, value, f"of type {getattr(kind, '__name__', kind)}")
    return value


def _fields_of(kind: Any, value: Any, where: str) -> Any:
    known = _types(kind)
    same = isinstance(value, dict) and value.keys() == known.keys()
    _require(same, where, value, f"the fields {', '.join(known)}")
    return kind(**{name: read(of, value[name], f"{where}.{name}") for name, of in known.items()})


@cache
def _types(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _require(right: bool, where: str, value: Any, wanted: str) -> None:
    if not right:
        raise damaged(where, value, wanted)


def damaged(where: str, value: Any, wanted: str) -> UserError:
    """The error for a stored value that is not what it must be."""
    shown = f"the fields {', '.join(value)}" if isinstance(value, dict) else repr(value)
    return UserError(f"{where} is damaged: it is {shown:.300}, and must be {wanted}")
