"""A simulator's memory as plain JSON and back, to the bit: records by field, float arrays as base64."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from trading.domain.errors import StateFileError
from trading.strategy.spec import StrategySpec, spec_sha256


def record_to_json(state: NDArray[np.void]) -> dict[str, JsonValue]:
    """One record; nan is null. Python writes a float with as many digits as reading it back to the bit takes."""
    plain: dict[str, JsonValue] = {}
    for name in state.dtype.names or ():
        value = state[0][name].item()
        plain[name] = None if isinstance(value, float) and isnan(value) else value
    return plain


def record_from_json(plain: JsonValue, dtype: np.dtype[np.void], *, where: str) -> NDArray[np.void]:
    """The record again.

    Raises:
        StateFileError: a field is missing, unknown or not a number.
    """
    fields = as_object(plain, where=where)
    names = dtype.names or ()
    if set(fields) != set(names):
        odd = sorted(set(fields) ^ set(names))[0]
        raise StateFileError(f"{where}: field {odd!r} is missing or unknown: written by another version; start anew")
    state = np.zeros(1, dtype=dtype)
    for name in names:
        value = fields[name]
        if value is None and dtype[name].kind == "f":
            value = nan
        if isinstance(value, bool) or not isinstance(value, float | int):
            raise StateFileError(f"{where}: {name}={value!r}: not a number; restore it from a backup or start anew")
        state[name] = value
    return state


def arrays_to_json(arrays: Sequence[NDArray[np.float64]]) -> JsonValue:
    """Float64 arrays, little-endian."""
    return [b64encode(array.astype("<f8").tobytes()).decode("ascii") for array in arrays]


def fill_arrays(arrays: Sequence[NDArray[np.float64]], plain: JsonValue, *, where: str) -> None:
    """Put saved values back into arrays of the same shapes, in place.

    Raises:
        StateFileError: another number of arrays, or one of another length.
    """
    if not isinstance(plain, list) or len(plain) != len(arrays):
        raise StateFileError(f"{where}: not the memory of this strategy's rules; start anew")
    for i, (array, text) in enumerate(zip(arrays, plain, strict=True)):
        try:
            values = np.frombuffer(b64decode(text if isinstance(text, str) else "", validate=True), dtype="<f8")
        except (binascii.Error, ValueError) as error:
            raise StateFileError(f"{where}[{i}]: not base64 of numbers; restore it from a backup") from error
        if len(values) != len(array):
            raise StateFileError(f"{where}[{i}]: {len(values)} values, expected {len(array)}; start anew")
        array[:] = values


def as_object(plain: JsonValue, *, where: str) -> Mapping[str, JsonValue]:
    """A JSON object.

    Raises:
        StateFileError: it is something else.
    """
    if not isinstance(plain, dict):
        raise StateFileError(f"{where}: {type(plain).__name__}, expected an object; restore it from a backup")
    return plain


def number(plain: Mapping[str, JsonValue], name: str, *, where: str) -> float:
    """A number by name; null is nan.

    Raises:
        StateFileError: missing, or no number.
    """
    value = plain.get(name, "nothing")
    if value is None:
        return nan
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise StateFileError(f"{where}: {name}={value!r}: not a number; restore it from a backup")
    return value


def check_spec(plain: Mapping[str, JsonValue], spec: StrategySpec, *, where: str) -> None:
    """Refuse the memory of other parameters.

    Raises:
        StateFileError: the hash in it is of another spec.
    """
    if plain.get("spec_sha256") != spec_sha256(spec):
        raise StateFileError(
            f"{where}: spec_sha256={str(plain.get('spec_sha256'))[:12]!r} is of other parameters than the strategy's; "
            "start a new account"
        )
