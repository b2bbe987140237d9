"""Which code gave a number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import trading.domain.instrument
import trading.domain.market
import trading.market.tape
import trading.simulator
import trading.strategy

_BENEATH = (trading.domain.instrument.__file__, trading.domain.market.__file__, trading.market.tape.__file__)


def files_sha256(files: Iterable[Path]) -> str:
    """Hash over the names and contents of files, in the order given, hex."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def sources(folder: str) -> list[Path]:
    """The modules of a package's folder, by name."""
    return sorted(Path(folder).glob("*.py"))


def simulator_files() -> list[Path]:
    """Every source a simulated result depends on: the simulator, the rule language, the tape and the market's terms."""
    folders = (trading.simulator.__path__[0], trading.strategy.__path__[0])
    return [*(path for folder in folders for path in sources(folder)), *map(Path, _BENEATH)]


@cache
def simulator_sha256() -> str:
    """Hash over `simulator_files`, read from disk once, hex."""
    return files_sha256(simulator_files())
