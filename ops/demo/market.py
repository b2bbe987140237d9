"""Which market the demo plays: recorded if there is a folder, else downloaded, else synthetic and saying so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from trading.domain.clock import DAY_MS, HOUR_MS, iso
from trading.domain.errors import DataProviderError, NetworkDownError
from trading.domain.instrument import Market
from trading.market.archive import fetch_archive
from trading.market.archive_files import BASE_URL
from trading.market.historical_data_fetcher import Want
from trading.market.importers import import_recorded
from trading.market.synthetic import Plan, synthetic_market, write_layout
from trading.market.tape import Origin, Tape

SETTLEMENT_MS = 8 * HOUR_MS
"""The longest time between two settlements of any contract."""
RESEARCH_DAYS = 730
"""History before the played stretch that research runs on, where there is as much."""
SYNTHETIC_FUNDING_RATE = 0.0003
"""What a made-up settlement pays on average: a market of eager longs, so that the story has something to show."""
SYNTHETIC_LAST_PRICE = 60_000.0
"""Where a made-up market ends, quote per base."""
MIN_RESEARCH_DAYS = 60


@dataclass(frozen=True, slots=True)
class DemoMarket:
    """A folder the sandbox can replay, and the stretch to play."""

    folder: Path
    origin: Origin
    symbol: str
    start_ms: int
    """The demo's first moment."""
    end_ms: int
    """The tape ends here."""
    bars: int
    """Hourly bars of both markets in the folder, research history included."""
    research_days: int


async def choose_market(
    tape: Path | None,
    symbol: str,
    days: int,
    *,
    workplace: Path,
    seed: int,
    now_ms: int,
    say: Callable[[str], None],
    archive_url: str = BASE_URL,
) -> DemoMarket:
    """Find or make a market.

    Args:
        tape: Folder of recorded files; None: download, else synthesise.
        symbol: Such as BTCUSDT.
        days: To be played.
        workplace: Where a downloaded or synthetic market is written.
        seed: Of a synthetic market.
        now_ms: The system's date, for choosing the months to download.
        say: Shows a line.
        archive_url: Of Binance's public archive.

    Raises:
        DataProviderError: the recorded folder does not hold the symbol for long enough.
    """
    if tape is not None:
        return recorded(tape, symbol, days)
    try:
        tapes = await downloaded(symbol, now_ms, workplace / "archive", say, archive_url)
        origin: Origin = "downloaded"
    except (NetworkDownError, DataProviderError) as error:
        say(f"no download: {error}")
        say("SYNTHETIC MARKET: made up by a generator, because there is neither a tape nor a network")
        hours = (RESEARCH_DAYS + days) * 24
        start_ms = now_ms // DAY_MS * DAY_MS - hours * HOUR_MS
        plan = Plan(symbol=symbol, start_ms=start_ms, bars=hours, seed=seed, funding_mean_rate=SYNTHETIC_FUNDING_RATE)
        made = synthetic_market(plan)
        # The same seed at another starting price is the same path: it should end where the limits allow a position.
        price = plan.price * SYNTHETIC_LAST_PRICE / float(made.spot.close[-1])
        made = synthetic_market(replace(plan, price=price))
        tapes = [made.spot, made.perp]
        origin = "synthetic"
    folder = workplace / "tape"
    write_layout(folder, tapes)
    return stretch(folder, origin, symbol, days, tapes)


def recorded(folder: Path, symbol: str, days: int) -> DemoMarket:
    """The last `days` of a folder of recorded files, everything before them for research."""
    tapes = [import_recorded(folder, market, symbol, "1h") for market in (Market.SPOT, Market.PERP)]
    return stretch(folder, "recorded", symbol, days, tapes)


async def downloaded(symbol: str, now_ms: int, folder: Path, say: Callable[[str], None], base_url: str) -> list[Tape]:
    """Two years of hours up to yesterday, spot and perpetual with funding, from Binance's public archive.

    A month alone would leave a carry too few settlements for the gate to believe anything.
    """
    end_ms = now_ms // DAY_MS * DAY_MS
    start_ms = end_ms - (RESEARCH_DAYS + 31) * DAY_MS
    tapes = []
    for market in (Market.SPOT, Market.PERP):
        want = Want(market, symbol, "1h", start_ms, end_ms)
        told = Told(f"downloading {market} {symbol} 1h", say)
        tape = await fetch_archive(want, folder, now_ms=now_ms, base_url=base_url, progress=told)
        for line in what_is_missing(tape):
            say(line)
        tapes.append(tape)
    zips = list(folder.glob("*.zip"))
    mb = sum(file.stat().st_size for file in zips) / 1e6
    say(f"downloaded {len(zips)} zips, {mb:.1f} MB, every one equal to its checksum")
    return tapes


class Told:
    """Says the progress of a download, a line for every tenth."""

    def __init__(self, what: str, say: Callable[[str], None]) -> None:
        self._what, self._say, self._last = what, say, -1

    def __call__(self, part: str, fraction: float) -> None:
        tenth = int(fraction * 10 + 1e-9)
        if tenth > self._last:
            self._last = tenth
            self._say(f"{self._what}: {tenth * 10} % ({part})")


def what_is_missing(tape: Tape) -> Iterator[str]:
    """A line for each gap of the bars and of the settlements."""
    for gap in tape.gaps:
        yield f"gap: {tape.market} {tape.symbol}: {gap.missing_bars} bars missing from {iso(gap.first_missing_ms)}"
    times = tape.funding.time_ms
    for before, after in pairwise(times):
        if after - before > SETTLEMENT_MS:
            missing = int(after - before) // SETTLEMENT_MS - 1
            yield f"gap: {tape.symbol}: {missing or 'some'} settlements missing after {iso(int(before))}"


def stretch(folder: Path, origin: Origin, symbol: str, days: int, tapes: list[Tape]) -> DemoMarket:
    """The last `days` that both markets and the funding have.

    Raises:
        DataProviderError: too little is left before them for research.
    """
    perp = next(tape for tape in tapes if tape.market is Market.PERP)
    if len(perp.funding.time_ms) == 0:
        raise DataProviderError(f"{folder}: no funding of {symbol}; add funding_{symbol}.parquet")
    settled_until_ms = int(perp.funding.time_ms[-1]) + SETTLEMENT_MS
    end_ms = min(*(tape.end_ms for tape in tapes), settled_until_ms) // DAY_MS * DAY_MS
    first_ms = max(tape.start_ms for tape in tapes)
    # An hour short of the end: the sandbox must still have a market when the last position is closed.
    start_ms = end_ms - days * DAY_MS - HOUR_MS
    research_days = (start_ms - first_ms) // DAY_MS
    if research_days < MIN_RESEARCH_DAYS:
        raise DataProviderError(
            f"{folder}: {symbol} {iso(first_ms)} to {iso(end_ms)}: {days} days to play leave {research_days} for "
            f"research, at least {MIN_RESEARCH_DAYS} are needed; choose fewer --days or another --symbol"
        )
    bars = sum(len(tape) for tape in tapes)
    return DemoMarket(folder, origin, symbol, start_ms, end_ms, bars, min(research_days, RESEARCH_DAYS))
