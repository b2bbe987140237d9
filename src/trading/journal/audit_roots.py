"""Roots of the audit chain that were told to a human: what shows that lines are missing at its end.

A chain proves its order from the beginning on; that its newest lines were cut off, or that somebody wrote all of it
anew, shows only against a hash that left the machine. The daily summary tells one, and `state/audit_roots.jsonl` keeps
each that was told.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from trading.domain.clock import iso
from trading.domain.errors import StateFileError
from trading.storage.files import append_line

TOLD_DIGITS = 16
"""Of a root in a message; of 2**64 no second one is found."""
_ROOT = re.compile(rf"[0-9a-f]{{{TOLD_DIGITS},64}}")


@dataclass(frozen=True, slots=True)
class ToldRoot:
    """A root, whole or its first `TOLD_DIGITS` digits, and where it was told."""

    root: str
    where: str


def note_root(path: Path, root: str, *, at_ms: int) -> str:
    """Keep a root that is about to be told; what the message says of it.

    Raises:
        StateFileError: the file cannot be written to.
    """
    append_line(path, json.dumps({"time": iso(at_ms), "root": root}).encode())
    return root[:TOLD_DIGITS]


def read_roots(path: Path) -> list[ToldRoot]:
    """Every root that was told, oldest first; a line torn by a crash was never told.

    Raises:
        StateFileError: a line makes no sense; names it.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    found = []
    for number, line in enumerate((line for line in lines if line.endswith("}")), start=1):
        try:
            row = json.loads(line)
            found.append(ToldRoot(checked_root(str(row["root"])), f"the summary of {str(row['time'])[:10]}"))
        except (ValueError, KeyError, TypeError) as error:
            raise StateFileError(
                f"{path}: line {number}: makes no sense ({error}); restore it from a backup"
            ) from error
    return found


def checked_root(text: str) -> str:
    """A root as a message tells it.

    Raises:
        ValueError: not so many hexadecimal digits.
    """
    root = text.strip().lower()
    if not _ROOT.fullmatch(root):
        raise ValueError(f"{text!r}: not a root; give the {TOLD_DIGITS} digits behind 'Audit root' in a daily summary")
    return root
