"""Schedulers and workers of a farm as processes of their own on loopback, started as people start them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[1]
TLS_FILES = {"tls_ca_file": "farm-ca.pem", "tls_cert_file": "farm.pem", "tls_key_file": "farm.key"}


class Service:
    """`./lab scheduler ...` or `./lab worker ...`; ends with SIGTERM when the block does."""

    def __init__(self, home: Path, *words: str, sources: Path | None = None) -> None:
        paths = [str(sources)] if sources else []
        environment = os.environ | {
            "LAB_HOME": str(home),
            "TMPDIR": str(home),  # a killed worker leaves its folder
            "PYTHONPATH": os.pathsep.join([*paths, *(path for path in sys.path if path)]),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=home,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def line(self) -> str:
        """The next it says; empty when it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.terminate()
        try:
            code = self.process.wait(20.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def scheduler(home: Path, listen: str = "tcp://127.0.0.1:0") -> tuple[Service, str]:
    """One that listens, and its address."""
    service = Service(home, "scheduler", "--listen", listen)
    line = service.line()
    if "scheduler listens at " not in line:
        service.end()
        raise AssertionError(line)
    return service, line.rsplit(" ", 1)[1]


def worker(home: Path, address: str, *, sources: Path | None = None) -> Service:
    """One of one thread; it joins later."""
    return Service(home, "worker", "--cluster", address, "--threads", "1", sources=sources)


def make_certificates(folder: Path) -> None:
    """An authority and one certificate, by the commands of docs/farm.md."""
    text = (ROOT / "docs" / "farm.md").read_text()
    commands = text.split("<!-- certificates -->\n```bash\n")[1].split("```")[0]
    subprocess.run(["bash", "-ec", commands], cwd=folder, check=True, capture_output=True)


def until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Look every few milliseconds."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come to pass"
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    """A process that runs; one that nobody has waited for yet does not."""
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
