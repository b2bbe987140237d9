"""A page to ask over the real protocol without a socket, and the files a lab writes for it to read."""

from __future__ import annotations

import os
import time

import httpx
from pydantic import SecretStr

from ops.dashboard.app import Page
from ops.dashboard.door import Sessions
from ops.dashboard.settings import PageSettings, accepted_hosts
from ops.dashboard.views import Asked
from tests.ops.test_reports import AT_MS, FULL
from trading.domain.clock import Clock
from trading.domain.decisions import Reason
from trading.journal.audit import AuditLine, AuditLog, CycleStatus
from trading.storage.files import write_json
from trading.storage.home import Home

HOST = "127.0.0.1:8750"
URL = f"http://{HOST}"
OURS = {"origin": URL}
"""What a browser says when a form of the page is sent."""
MINUTE_MS = 60_000


def client(
    home: Home, *, token: str | None = None, names: tuple[str, ...] = (), secrets: tuple[str, ...] = ()
) -> httpx.AsyncClient:
    """A browser without a socket between: the same requests and answers."""
    clock = Clock()
    page = Page(Asked(home, clock, secrets=secrets), Sessions(None if token is None else SecretStr(token), clock))
    app = page.app(hosts=accepted_hosts(PageSettings(names=names)))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL, headers={"accept": "text/html"})


def beat(home: Home, *, age_s: float = 1.0, pid: int | None = None, **changes: object) -> None:
    """A heartbeat as the service writes it, so old; `pid` holds the lab's lock."""
    write_json(home.heartbeat_file, FULL.to_json() | {"pid": 1} | changes, schema=1)
    at_s = time.time() - age_s
    os.utime(home.heartbeat_file, (at_s, at_s))
    if pid is not None:
        home.lock_file.write_text(str(pid))


def line(n: int = 0, **changes: object) -> AuditLine:
    """The n-th cycle of a lab that holds a carry and has a paper account."""
    told: dict[str, object] = {
        "at_ms": AT_MS + n * MINUTE_MS,
        "mode": "live",
        "status": CycleStatus.NO_TRADE,
        "reason": Reason.HOLDING,
        "config_sha256": "76d1789694a9",
        "data_quality": 97.0,
        "regime": "calm up",
        "stage_s": {"books": 0.05, "live": 0.1},
        "signals": [{"strategy_id": "fc-1", "equity_quote": 10_000.0 + n, "holding": "carry BTCUSDT"}],
        "risk": {"allowed": False, "reason": "HOLDING", "value": 11.0, "limit": 21.0, "note": "expected 14 % a year"},
        "equity": {"equity_quote": f"{1000 + n}", "cash_quote": "800", "positions": []},
        "note": "market: live",
    }
    return AuditLine(**{**told, **changes})  # type: ignore[arg-type]  # every field by its name


def cycles(home: Home, count: int) -> None:
    """So many lines, as the service writes them."""
    log = AuditLog(home.audit_file)
    for n in range(count):
        log.append(line(n))


def everything(home: Home) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file."""
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in home.root.rglob("*") if p.is_file()}
