"""The audit chain of a year of minutes: `python -m benchmarks.audit [--lines 525600]`; JSON on the last line.

The lines are as long as those of a service that holds a carry and a paper strategy, 1.8 KB each; they are written
without an fsync apiece, which is the only difference to the lab's own.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from trading.domain.decisions import Reason
from trading.journal import audit
from trading.journal.audit import AuditLine, AuditLog, CycleStatus, verify_audit
from trading.journal.audit_roots import ToldRoot

YEAR_LINES = 525_600
START_MS = 1_704_067_200_000
CHECKS = ("DRAWDOWN_EXIT", "DRAWDOWN_STOP", "DRAWDOWN_REVIEW", "STRATEGY_DRAWDOWN", "LOSS_STREAK", "DAILY_LOSS")


def main() -> None:
    """Write, verify, print."""
    parser = argparse.ArgumentParser(description="The audit chain of a year of minutes.")
    parser.add_argument("--lines", type=int, default=YEAR_LINES)
    print(json.dumps(audit_figures(parser.parse_args().lines)))


def audit_figures(lines: int) -> dict[str, object]:
    """A chain of so many lines; the seconds are told for a year's."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "audit.jsonl"
        root = write(path, lines)
        began_s = time.perf_counter()
        check = verify_audit(path, [ToldRoot(root, "the benchmark")])
        took_s = time.perf_counter() - began_s
        size_mb = path.stat().st_size / 1e6
    return {
        "audit_lines": check.lines,
        "audit_ok": check.ok,
        "audit_mb": round(size_mb, 1),
        "audit_year_verify_s": round(took_s * YEAR_LINES / lines, 2),
        "audit_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def write(path: Path, lines: int) -> str:
    """A chain; the root that lies in its middle."""
    log, root = AuditLog(path), ""
    with path.open("ab") as file:

        def append(_: Path, line: bytes) -> None:
            file.write(line + b"\n")

        with patch.object(audit, "append_line", append):
            for number in range(lines):
                head = log.append(cycle(number))
                root = head if number == lines // 2 else root
    return root


def cycle(number: int) -> AuditLine:
    """A minute in which nothing is traded."""
    equity = 20_000.0 + number / 7.0
    checks = [{"allowed": True, "limit": 0.3, "note": "", "reason": name, "value": equity / 1e9} for name in CHECKS]
    return AuditLine(
        at_ms=START_MS + number * 60_000,
        mode="live",
        status=CycleStatus.NO_TRADE,
        reason=Reason.HOLDING,
        config_sha256="90e66b3c1270",
        data_sha256=f"{number:064x}",
        data_quality=90.0,
        stage_s=dict.fromkeys(("bars", "books", "decide_and_execute", "live", "market", "paper"), 0.001 * number),
        regime="usual flat",
        signals=[
            {"equity_quote": equity, "holding": "carry BTCUSDT: long 0.098 spot, short 0.098 perp, 1 settlements"}
        ],
        proposals=[{"origin": "test", "strategy_id": "fc-20240601-000000", "type": "funding_carry"}],
        risk={"allowed": False, "checks": checks, "limit": 3.0, "note": "expected 32.85% a year", "value": 2.0},
        equity={
            f"{name}_quote": f"{equity:.14f}" for name in ("cash", "equity", "fees", "funding", "profit", "realised")
        },
        note="market: recorded",
    )


if __name__ == "__main__":
    main()
