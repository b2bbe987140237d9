"""What both sides of a farm know: the address, certificates, and all that a number may depend on.

Dask runs what it is sent. Whoever reaches the port of a scheduler or worker runs code there as its user, so an address
is of loopback, of a network that is trusted, or `tls://`, which only holders of a certificate can speak to.
"""

from __future__ import annotations

import math
import platform
import re
import sys
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import trading.domain
import trading.simulator.executors
from trading.domain.errors import FarmError, SettingsError
from trading.simulator.code_version import files_sha256, simulator_sha256, sources
from trading.simulator.executors.settings import ADDRESS


def dask() -> Any:
    """The library that a farm speaks with; its functions carry no types.

    Raises:
        FarmError: it is not installed.
    """
    try:
        return import_module("distributed")
    except ModuleNotFoundError as error:
        raise FarmError(
            f"a farm needs the package distributed ({error}); ./lab farm installs it from requirements-dev.lock"
        ) from error


def check_memory(text: str) -> None:
    """Refuse what Dask would not read as a size of memory.

    Raises:
        SettingsError: it is none.
    """
    try:
        import_module("dask.utils").parse_bytes(text)
    except ValueError as error:
        raise SettingsError(f"--memory {text}: {error}; write it like 2GB") from error


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where a scheduler listens, and this side's certificate."""

    address: str
    """`tcp://host:port`, or `tls://host:port` with all three files."""
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if not re.match(ADDRESS, self.address):
            raise SettingsError(f"cluster {self.address!r}: no address; write it like tcp://127.0.0.1:8786")
        files = (self.ca_file, self.cert_file, self.key_file)
        if self.address.startswith("tls://") != all(files) or any(files) != all(files):
            raise SettingsError(
                f"cluster {self.address}: tls:// goes with tls_ca_file, tls_cert_file, tls_key_file; set all or none"
            )
        for path in files:
            if path is not None and not path.is_file():
                raise SettingsError(f"cluster {self.address}: {path}: no such file; see docs/farm.md for certificates")

    @property
    def host(self) -> str:
        """Without scheme and port."""
        return self.address.split("://")[1].rsplit(":", 1)[0]

    def security(self) -> Any:
        """As Dask wants it; None for `tcp://`."""
        if self.ca_file is None:
            return None
        sides = ("client", "scheduler", "worker")
        certificates = {f"tls_{side}_cert": str(self.cert_file) for side in sides}
        keys = {f"tls_{side}_key": str(self.key_file) for side in sides}
        return dask().Security(require_encryption=True, tls_ca_file=str(self.ca_file), **certificates, **keys)


@cache
def identity() -> dict[str, str]:
    """All that a number may depend on besides its inputs; equal on both sides, or the worker gets no work."""
    ours = (trading.domain.__path__[0], trading.simulator.executors.__path__[0])
    code = simulator_sha256() + files_sha256(path for folder in ours for path in sources(folder))
    return {
        "code": sha256(code.encode()).hexdigest()[:12],
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "numba": version("numba"),
        "machine": f"{platform.machine()} {sys.byteorder}",
        "arithmetic": _arithmetic(),
    }


def _arithmetic() -> str:
    """Hash of what this machine's C library and numpy make of powers, logarithms and sums: last bits may differ."""
    values = np.random.default_rng(0).lognormal(0.0, 2.0, 4_096)
    logs = np.array([math.log(value) for value in values])
    found = (logs, values**1.5, np.sqrt(values), np.array([values.sum(), values @ logs]))
    return sha256(b"".join(array.tobytes() for array in found)).hexdigest()[:12]
