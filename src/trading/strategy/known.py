"""What was tried before, by what it does: in months thousands are retired, and none is read to look for another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable
from pathlib import Path

from trading.domain.errors import SpecError
from trading.strategy.spec import load_spec, spec_sha256

ID_DIGITS = 6
"""Of the hash, at the end of an id: see `new_spec`."""


class Known(Container[object]):
    """Whether a `spec_sha256` is that of a strategy on file.

    Args:
        living: Those of what is not retired.
        retired: Files, `ID.json`; one is read when it is asked for a hash that its name may be of.
    """

    def __init__(self, living: Iterable[str], retired: Iterable[str]) -> None:
        self._living = frozenset(living)
        self._retired: dict[str, list[str]] = defaultdict(list)
        for path in retired:
            self._retired[path.removesuffix(".json")[-ID_DIGITS:]].append(path)

    def __contains__(self, sha256: object) -> bool:
        name = str(sha256)
        return name in self._living or any(_sha256_of(path) == name for path in self._retired.get(name[:ID_DIGITS], ()))


def _sha256_of(path: str) -> str | None:
    """Of a file; None: it has gone, or is none of a strategy."""
    try:
        return spec_sha256(load_spec(Path(path).read_bytes(), where=path))
    except (OSError, SpecError):
        return None
