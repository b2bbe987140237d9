"""How long `./lab explain` takes over a year of audit lines: `python -m benchmarks.explain`; JSON on stdout.

The lines are those of an ordinary live cycle, chained and hashed as the lab does, one a minute; fsync is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from pathlib import Path

from ops.explain.answer import run_explain
from trading.domain.clock import iso, parse_iso
from trading.journal.audit import GENESIS, _canonical, _digest
from trading.journal.audit_window import cycle_id

START_MS = parse_iso("2025-01-01T00:00:05Z")
MINUTE_MS = 60_000
CHECKS = ("QUOTE_STALE", "DRAWDOWN_EXIT", "WEEKLY_LOSS", "DAILY_LOSS", "TOTAL_RISK", "POSITION_SIZE", "TRADE_SIZE")


def write_year(path: Path, days: int) -> str:
    """Write the file; the id of the cycle in its middle."""
    prev, lines = GENESIS, days * 1440
    middle = ""
    with path.open("wb") as file:
        for n in range(lines):
            at_ms = START_MS + n * MINUTE_MS
            body = _body(at_ms, "HOLDING" if n % 480 else "REBALANCE", prev)
            prev = _digest(body)
            file.write(_canonical({**body, "hash": prev}) + b"\n")
            if n == lines // 2:
                middle = cycle_id(at_ms, prev)
    return middle


def _body(at_ms: int, reason: str, prev: str) -> dict[str, object]:
    asked = {"allowed": True, "value": 0.0123, "limit": 0.25, "note": ""}
    return {
        "schema": 1, "time": iso(at_ms), "at_ms": at_ms, "mode": "live", "status": "NO_TRADE", "reason": reason,
        "config_sha256": "0123456789ab", "data_sha256": "d" * 64, "data_quality": 97.0,
        "stage_s": {"bars": 0.41, "paper": 0.032, "live": 0.21}, "regime": "calm up",
        "signals": [{"strategy_id": f"mr-{n}", "equity_quote": 10_000.0 + n, "holding": ""} for n in range(3)],
        "proposals": [{"strategy_id": "fc-1", "type": "funding_carry", "origin": "library"}],
        "risk": {"reason": reason, "note": "expected 9.1 % a year", **asked,
                 "checks": [{"reason": name, **asked} for name in CHECKS]},
        "intents": [], "orders": [], "fills": [],
        "equity": {"equity_quote": "1012.5", "cash_quote": "812.25", "funding_quote": "0.31", "fees_quote": "0.4",
                   "perp_base": "-0.006", "settlements": 9, "identity_error_quote": "0"},
        "note": "market: live", "prev": prev,
    }  # fmt: skip


def seconds(wanted: str | None, at: str | None) -> float:
    """Real seconds of one answer."""
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        run_explain(wanted, at)
    return round(time.perf_counter() - began, 4)


def main() -> None:
    """Write a year, ask three things, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--days", type=int, default=365)
    days = parser.parse_args().days
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAB_HOME"] = folder
        state = Path(folder) / "state"
        state.mkdir()
        middle = write_year(state / "audit.jsonl", days)
        figures = {
            "explain_lines": days * 1440,
            "explain_mb": round((state / "audit.jsonl").stat().st_size / 1e6),
            "explain_id_s": seconds(middle, None),
            "explain_at_s": seconds(None, iso(START_MS + days * 500 * MINUTE_MS)),
            "explain_unknown_id_s": seconds(middle[:-4] + "zzzz".replace("z", "f"), None),
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
