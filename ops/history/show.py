"""`./lab history show`: what is on the shelf, with its gaps by cause; of one symbol every gap with its evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ops.environment import find_home
from ops.flags import symbol_of
from trading.domain.clock import iso
from trading.domain.market import INTERVAL_MS
from trading.market.gap_ledger import Cause, in_words
from trading.market.history_books import GapLedger, gaps_file, read_ledger
from trading.market.interval_check import Disagreement
from trading.market.store import Holding, TapeStore


def run_show(symbol: str | None) -> int:
    """Show the shelf, or every gap of a symbol.

    Returns:
        0; 1: nothing of that symbol is on the shelf.

    Raises:
        SettingsError: not a symbol.
        DataProviderError: the manifest or a ledger makes no sense.
    """
    root = find_home().tapes
    wanted = None if symbol is None else symbol_of(symbol)
    held = [holding for holding in TapeStore(root).holdings() if wanted in (None, holding.symbol)]
    if not held:
        what = "the shelf is empty" if wanted is None else f"nothing of {wanted} is on the shelf"
        print(f"{what}: {root}; run `./lab history fetch {wanted or 'BTCUSDT'} --from 2024`")
        return 0 if wanted is None else 1
    Console().print(_table(held, root))
    for line in _gaps(held, root) if wanted else ():
        print(line)
    return 0


def _table(held: list[Holding], root: Path) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("series", "symbol", "interval", "from", "to"):
        table.add_column(name)
    for name in ("candles", "MB"):
        table.add_column(name, justify="right")
    table.add_column("missing or flat")
    table.add_column("origin")
    for one in held:
        folder = root / one.series / one.symbol / one.interval
        size_mb = sum(path.stat().st_size for path in folder.glob("*.parquet")) / 1e6
        table.add_row(
            one.series,
            one.symbol,
            one.interval,
            iso(one.start_ms)[:16],
            iso(one.end_ms)[:16],
            f"{one.bars:,}",
            f"{size_mb:,.1f}",
            _missing(_ledger(one, root)),
            ", ".join(one.origins),
        )
    return table


def _missing(ledger: GapLedger | None) -> str:
    """Candles by cause."""
    if ledger is None:
        return "not looked for"
    bars = Counter[Cause]()
    for hole in ledger.holes:
        bars[hole.cause] += hole.bars
    return "; ".join(f"{cause} {bars[cause]:,}" for cause in Cause if bars[cause]) or "none"


def _gaps(held: list[Holding], root: Path) -> Iterator[str]:
    for one in held:
        ledger, name = _ledger(one, root), f"{one.series} {one.symbol} {one.interval}"
        if ledger is None:
            continue
        yield f"{name}, looked for {iso(ledger.at_ms)}:"
        yield from (f"  {in_words(hole, INTERVAL_MS[one.interval])}" for hole in ledger.holes)
        yield from (f"  repaired: {in_words(hole, INTERVAL_MS[one.interval])}" for hole in ledger.repaired)
        listed = _disagreements(one, root)
        yield from (f"  the exchange's own 1h differs: {found.in_words()}" for found in listed)
        if not ledger.holes and not ledger.repaired and not listed:
            yield "  no gap"


def _ledger(one: Holding, root: Path) -> GapLedger | None:
    return read_ledger(gaps_file(root / "ledger", one.series, one.symbol, one.interval))


def _disagreements(one: Holding, root: Path) -> list[Disagreement]:
    from trading.market.history_compare import read_disagreements  # the archive's client, which a look does not need

    return read_disagreements(root / "ledger" / f"{one.series}_{one.symbol}_{one.interval}.vs_1h.jsonl")
