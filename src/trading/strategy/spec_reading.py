"""From the bytes of a strategy file to a plain object, and from pydantic's reports to one clear line."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import get_args

import structlog
from pydantic import BaseModel, ValidationError

from trading.domain.errors import SpecError

MAX_BYTES = 1_000_000
"""Largest strategy file."""
ModelClass = type[BaseModel]

OLD_NAMES = {
    "strategy_type": "type",
    "interval": "timeframe",
    "long_entry": "entry_long",
    "short_entry": "entry_short",
    "long_exit": "exit_long",
    "short_exit": "exit_short",
    "position_size_pct": "position_pct",
    "trailing_stop_atr": "trailing_atr",
    "max_hold": "max_hold_bars",
    "min_hold_settlements": "min_hold_fundings",
}
"""Names seen in files of older systems with the same meaning and unit, and ours; accepted with a warning."""

log = structlog.get_logger(__name__)


def read_object(raw: bytes, *, where: str) -> dict[str, object]:
    """The JSON object in a file.

    Raises:
        SpecError: too large, not UTF-8, not JSON, a key twice, NaN or Infinity, not an object; names where and what.
    """
    if len(raw) > MAX_BYTES:
        raise SpecError(f"{where}: {len(raw)} bytes: a strategy file has at most {MAX_BYTES}; is it the right file?")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(f"{where}: byte {error.start} is not UTF-8; save it as UTF-8 without BOM") from error
    if text.startswith("\ufeff"):
        raise SpecError(f"{where}: begins with a byte order mark; save it as UTF-8 without BOM")
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from error
    except json.JSONDecodeError as error:
        raise SpecError(f"{where}: line {error.lineno} column {error.colno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise SpecError(
            f"{where}: not JSON that can be read: {type(error).__name__}; write it by the example"
        ) from error
    if not isinstance(found, dict):
        raise SpecError(f"{where}: a JSON {type(found).__name__}, not an object; see docs/strategy-file.md")
    return found


def with_new_names(found: Mapping[str, object], model: ModelClass, *, where: str) -> dict[str, object]:
    """The object with old names replaced, here and in the objects below, each with a warning in the log.

    Raises:
        SpecError: a setting stands there under both names.
    """
    renamed: dict[str, object] = {}
    for key, value in found.items():
        name = key
        if key not in model.model_fields and OLD_NAMES.get(key) in model.model_fields:
            name = OLD_NAMES[key]
            if name in found:
                raise SpecError(f'{where}: "{key}" is the old name of "{name}" and both are given; keep "{name}"')
            log.warning("spec.old_name", where=where, old=key, new=name)
        below = _model_of(model, name)
        if below is not None and isinstance(value, Mapping):
            renamed[name] = with_new_names(value, below, where=f"{where}: {name}")
        else:
            renamed[name] = value
    return renamed


def one_line(error: ValidationError, model: ModelClass, *, where: str, inside: tuple[str, ...] = ()) -> str:
    """The first thing wrong, in one line: where, field, value, what to do; and how many more there are.

    Args:
        error: What pydantic found in an object of `model`.
        model: The outermost model, for the names a key may have.
        where: The file, or what else was read.
        inside: The path of that object in the file.
    """
    problems = error.errors(include_url=False)
    # An unknown key is told first: it is most often why another one is missing.
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    location, value = first["loc"], first.get("input")
    path = (*inside, *location)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        text = f"{_path(path[:-1], ': ')}unknown key {shown(location[-1])}: {_nearest_key(model, location)}"
    elif first["type"] == "missing":
        text = f'{_path(path[:-1], ": ")}"{location[-1]}" is missing; add it'
    elif first["type"] == "value_error" and (isinstance(value, Mapping | BaseModel) or message.startswith('rule "')):
        text = f"{_path(path, ': ')}{message}"
    else:
        plain = message.replace("Tuple", "List").replace("tuple", "list").replace(" after validation,", ",")
        text = f"{_path(path)}={shown(value)}: {plain[:1].lower()}{plain[1:]}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{where}: {text}{more}"


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise SpecError(f"key {shown(key)} stands there twice; keep one")
        found[key] = value
    return found


def _refuse_constant(name: str) -> object:
    raise SpecError(f"{name} is not a number; write a finite one, or null where that means off")


def _nearest_key(model: ModelClass, location: tuple[int | str, ...]) -> str:
    holder: ModelClass | None = model
    for part in location[:-1]:
        if isinstance(part, str) and holder is not None:
            holder = _model_of(holder, part)
    known = [field.alias or name for name, field in holder.model_fields.items()] if holder else []
    near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    return f'did you mean "{near[0]}"?' if near else f"known here: {', '.join(known)}"


def _model_of(model: ModelClass, name: str) -> ModelClass | None:
    """The model of a field that is one, or of the elements of a field that is a tuple of them."""
    field = model.model_fields.get(name)
    if field is None:
        return None
    candidates = (field.annotation, *get_args(field.annotation))
    found = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
    return found[0] if len(found) == 1 else None


def _path(location: tuple[int | str, ...], ending: str = "") -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    return f"{text}{ending}" if text else ""


def shown(value: object) -> str:
    """A value as an error shows it: JSON, in printable ASCII, at most 60 characters."""
    text = json.dumps(value, ensure_ascii=True, default=lambda other: type(other).__name__)
    return text if len(text) <= 60 else f"{text[:59]}…"
