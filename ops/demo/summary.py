"""What happened in the demo: a table, a chart, JSON; every number from the lab's files and the sandbox's ledger."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ops.demo.market import DemoMarket
from ops.demo.options import DemoOptions
from ops.demo.scene import Happened
from ops.demo.screen import SYNTHETIC
from ops.pictures.equity import equity_chart
from ops.sandbox_process import SandboxProcess
from ops.service.lab import Lab
from trading.journal.audit import verify_audit
from trading.storage.files import write_atomic

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Summary:
    """The demo's last word."""

    figures: dict[str, object]
    """As `--json` writes them."""
    files: dict[str, Path]
    note: str
    """Why the story ended early; empty: it did not."""
    is_synthetic: bool


async def summarise(
    seen: Happened, lab: Lab, sandbox: SandboxProcess, market: DemoMarket, *, wall_s: float, rss_mb: float
) -> Summary:
    """Gather every figure from its source."""
    requests = await sandbox.ask("/sandbox/seen")
    audit = verify_audit(lab.home.audit_file)
    orders, duplicates = requests.get("orders"), requests.get("duplicate_orders")
    figures: dict[str, object] = {
        "wall_s": round(wall_s, 1),
        "peak_rss_mb": round(rss_mb, 1),
        "market": market.origin,
        "symbol": market.symbol,
        "bars": market.bars,
        "ideas": seen.ideas,
        "refused": dict(seen.refused),
        "paper_trades": seen.paper_trades,
        "paper_settlements": seen.paper_settlements,
        "approved": 1 if seen.approved else 0,
        "carry_opened": seen.carry_opened,
        "settlements_booked": seen.settlements,
        "funding_quote": round(seen.funding_quote, 8),
        "max_unhedged_s": round(seen.max_unhedged_s, 3),
        "flat": seen.is_flat,
        "flat_s": None if seen.flat_s is None else round(seen.flat_s, 3),
        "orders_sent": len(orders) if isinstance(orders, list) else 0,
        "duplicate_orders": len(duplicates) if isinstance(duplicates, list) else 0,
        "equity_identity_error_quote": round(seen.identity_error_quote, 8),
        "audit_lines": audit.lines,
        "audit_ok": audit.ok,
        "messages_sent": len(await sandbox.chat()),
        "errors": seen.errors,
    }
    chart = draw(seen, lab.home.root / "equity.png", market)
    files = {"strategies": lab.home.strategies, "audit": lab.home.audit_file, "chart": chart, "log": lab.home.log_file}
    return Summary(figures, files, seen.note, market.origin == "synthetic")


def draw(seen: Happened, file: Path, market: DemoMarket) -> Path:
    """The equity chart of every account, as PNG; in percent of where each began they share one axis."""
    names = sorted({name for _, equity in seen.curve for name in equity})
    times = [at_ms for at_ms, _ in seen.curve]
    series = {name: [equity.get(name, NAN) for _, equity in seen.curve] for name in names}
    grown = {name: percent_of_start(values) for name, values in series.items()}
    title = f"{market.symbol}, {market.origin} market: accounts in the demo, 100 = where each began"
    png = equity_chart(times, grown, title=title, is_synthetic=market.origin == "synthetic", unit="start = 100")
    write_atomic(file, png)
    return file


def percent_of_start(values: list[float]) -> list[float]:
    """Values as a percentage of the first one that is a number."""
    start = next((value for value in values if value == value), NAN)
    return [value / start * 100.0 for value in values]


def tell(summary: Summary, console: Console, options: DemoOptions) -> None:
    """The table, the paths, and the JSON where it was asked for."""
    title = "What happened" + (f"   {SYNTHETIC}" if summary.is_synthetic else "")
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in summary.figures.items():
        table.add_row(name, told(value))
    console.print(table)
    if summary.note:
        console.print(f"The story ended early: {summary.note}", style="yellow")
    for name, path in summary.files.items():
        held = f" ({lives(path)})" if name == "strategies" else ""
        console.print(f"{name:11} {path}{held}", soft_wrap=True, highlight=False)
    if options.json_file is not None:
        text = json.dumps(summary.figures | {"note": summary.note}, indent=2)
        write_atomic(options.json_file.resolve(), text.encode() + b"\n")


def lives(strategies: Path) -> str:
    """How many files each folder of strategies holds."""
    counts = Counter(path.parent.name for path in strategies.glob("*/*.json"))
    return ", ".join(f"{counts[name]} {name}" for name in sorted(counts)) or "none"


def told(value: object) -> str:
    """A figure as a person reads it."""
    if isinstance(value, dict):
        return "\n".join(f"{key} {count}" for key, count in sorted(value.items(), key=lambda pair: -pair[1])) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, (int, float)) else str(value)
