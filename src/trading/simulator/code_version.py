"""Which code gave a number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import trading.market.tape
import trading.simulator
import trading.strategy


def files_sha256(files: Iterable[Path]) -> str:
    """Hash over the names and contents of files, in the order given, hex."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def sources(folder: str) -> list[Path]:
    """The modules of a package's folder, by name."""
    return sorted(Path(folder).glob("*.py"))


@cache
def simulator_sha256() -> str:
    """Hash over the sources of the simulator, the rule language and the tape, read from disk once, hex."""
    folders = (trading.simulator.__path__[0], trading.strategy.__path__[0])
    return files_sha256([*(path for folder in folders for path in sources(folder)), Path(trading.market.tape.__file__)])
