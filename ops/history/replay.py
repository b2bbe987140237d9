"""`./lab history replay`: tapes and books built anew from a raw recording, and what was met on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path

from trading.domain.clock import iso
from trading.domain.errors import DataProviderError
from trading.exchange.replayed_day import Session, replay
from trading.storage.raw_log import Reading


def run_replay(folder: Path) -> int:
    """Play a recording back and tell what came of it.

    Raises:
        DataProviderError: there is no recording.
    """
    reading = Reading()
    sessions = asyncio.run(replay(folder, reading))
    print(f"{folder}: {reading.files} files, {reading.bytes / 1e6:.1f} MB, {reading.lines} lines")
    for name in reading.torn:
        print(f"  {name}: its end is missing; every whole line before it was read")
    for session in sessions:
        _tell(session)
    return 0


def _tell(session: Session) -> None:
    met = session.met
    print(f"{iso(session.from_ms)} to {iso(session.until_ms)}: {met.messages} messages, {met.answers} answers, "
          f"{met.failures} requests that failed, {met.breaks} connections that broke")  # fmt: skip
    for market, symbol, interval in session.subscriptions:
        name = f"  {market} {symbol} {interval}"
        try:
            tape = session.market.tape(market, symbol, interval)
        except DataProviderError as error:
            print(f"{name}: no tape: {error}")
            continue
        print(f"{name}: {len(tape.open_time_ms)} bars, {iso(tape.start_ms)} to {iso(tape.end_ms)}, "
              f"{len(tape.gaps)} gaps, {tape.content_hash[:16]}")  # fmt: skip
    for (market, symbol), kept in session.books.items():
        share = kept.whole / kept.changes
        print(f"  {market} {symbol} book: {kept.changes} changes, whole after {share:.1%}, {kept.book.breaks} breaks")
    if met.unanswered:
        count = len(met.unanswered)
        print(f"  {count} requests were made that were not made live; the tapes may differ where they failed")
