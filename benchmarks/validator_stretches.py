"""Clean recorded stretches of every kind of data the validator looks at, each watched as the lab watches it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.recorded_books import Sighting, replayed
from trading.domain.instrument import Instrument, Market
from trading.domain.market import Bar, Book, FundingNow, Quote
from trading.exchange import parse_market
from trading.exchange.answer import Answer
from trading.market.checks.rules import RuleId
from trading.market.data_integrity_validator import (
    Beside,
    ClockReading,
    Verdict,
    bar_at,
    validate_bar,
    validate_book,
    validate_clock,
    validate_funding,
    validate_instrument,
    validate_quote,
    validate_revision,
    validate_settlements,
    validate_tape,
)
from trading.market.importers import import_recorded
from trading.market.parquet import read_parquet
from trading.market.rolling import RecentPrices, RollingBars
from trading.market.tape import Tape
from trading.market.validator_rules import ValidatorSettings, demand

HOUR_MS = 3_600_000
SETTINGS = ValidatorSettings()
SYMBOL = "BTCUSDT"
FIVE_MINUTES = (1_709_510_400_000, 140)
"""2024-03-04, a day on which the price rose by 8 %; so many bars."""
HOURS = (1_727_740_800_000, 140)
"""2024-10-01."""
SETTLEMENTS = 90
DEPTH, SIGHTINGS = 20, 80
LINE_MS = 200
"""Between the venue's stamp and the lab's look at it."""


@dataclass(frozen=True, slots=True)
class Look:
    """A quote or a book, and when it is looked at."""

    what: Quote | Book
    now_ms: int
    second_price: float
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Clean:
    """What the faults are put into."""

    bars: tuple[Bar, ...]
    """Of five minutes, of the perpetual."""
    hours: tuple[Bar, ...]
    second: Mapping[int, float]
    """Spot's closes of both, by open time; hours have odd keys of their own: open time + 1."""
    quotes: tuple[Look, ...]
    books: tuple[Look, ...]
    funding: tuple[FundingNow, ...]
    settled_ms: tuple[int, ...]
    readings: tuple[ClockReading, ...]
    instrument: Instrument
    tape: Tape


def clean_stretches(data: Path) -> Clean:
    """Read them all.

    Raises:
        DataProviderError: the folder lacks one of them.
    """
    fives, five_second = _bars(data, "5m", *FIVE_MINUTES)
    hours, hour_second = _bars(data, "1h", *HOURS)
    raw = data / "payloads" / "binance_ws_raw"
    perp = list(islice(replayed(raw / "usdm_btcusdt_20240808.gz", Market.PERP), SIGHTINGS))
    spot = list(islice(replayed(raw / "spot_btcusdt_20240808.gz", Market.SPOT), SIGHTINGS))
    funding, settled_ms = _funding(data)
    return Clean(
        bars=fives,
        hours=hours,
        second={**five_second, **{time + 1: price for time, price in hour_second.items()}},
        quotes=tuple(Look(_quote(seen), seen.at_ms + LINE_MS, _mid(seen, spot)) for seen in perp),
        books=tuple(Look(_book(seen), seen.at_ms + LINE_MS, _mid(seen, spot)) for seen in perp),
        funding=funding,
        settled_ms=settled_ms,
        readings=tuple(ClockReading(seen.at_ms - 40, seen.at_ms + 40, seen.at_ms) for seen in perp),
        instrument=_instrument(data),
        tape=import_recorded(data, Market.PERP, SYMBOL, "1h", HOURS[0], HOURS[0] + HOURS[1] * HOUR_MS),
    )


def watch_bars(
    clean: Clean, bars: Iterable[Bar], *, second: Mapping[int, float] | None = None, wanted: tuple[RuleId, ...] = ()
) -> list[Verdict]:
    """Bars one by one as `RealtimeMarketData` takes them: what may not even be researched on is not kept."""
    rolling: RollingBars | None = None
    verdicts = []
    elsewhere = clean.second if second is None else second
    for bar in bars:
        rolling = rolling or RollingBars(bar.market, bar.symbol, bar.interval, keep_bars=2000)
        price = elsewhere.get(bar.open_time_ms + (bar.interval == "1h"))
        seen = rolling.seen(second_price=price, instrument=clean.instrument)
        verdicts.append(demand(validate_bar(bar, SETTINGS, seen), wanted, SETTINGS))
        if verdicts[-1].ok_for_research:
            rolling.append(bar)
    return verdicts


def watch_revisions(clean: Clean, again: Iterable[Bar]) -> list[Verdict]:
    """Every bar told a second time."""
    return [validate_revision(held, bar, SETTINGS) for held, bar in zip(clean.bars, again, strict=True)]


def watch_quotes(clean: Clean, looks: Iterable[Look]) -> list[Verdict]:
    """Quotes one by one, as the carry looks at them."""
    verdicts, previous, recent = [], None, RecentPrices()
    for look in looks:
        quote = look.what
        beside = Beside(recent.view(), clean.instrument)
        verdicts.append(
            validate_quote(
                quote,
                SETTINGS,
                now_ms=look.now_ms,
                previous=previous,
                second_price=look.second_price,
                beside=beside,
            )
        )
        if quote.mid > 0:
            previous = quote
            recent.append(quote.at_ms, quote.mid)
    return verdicts


def watch_books(clean: Clean, looks: Iterable[Look]) -> list[Verdict]:
    """Books one by one."""
    return [
        validate_book(
            look.what,
            SETTINGS,
            now_ms=look.now_ms,
            is_whole=look.is_whole,
            second_price=look.second_price,
            instrument=clean.instrument,
        )
        for look in looks
    ]


def watch_funding(said: Iterable[FundingNow], *, late_ms: int = 0) -> list[Verdict]:
    """What the contract says before each settlement, a second after it says it."""
    verdicts, previous = [], None
    for funding in said:
        now_ms = funding.at_ms + 1000 + late_ms
        verdicts.append(validate_funding(funding, SETTINGS, now_ms=now_ms, previous=previous))
        previous = funding
    return verdicts


def watch_settlements(settled_ms: tuple[int, ...], due_ms: tuple[int, ...]) -> list[Verdict]:
    """The list of settlements two minutes after each one fell due."""
    return [
        validate_settlements(
            SYMBOL, [ms for ms in settled_ms if ms <= due], 8 * HOUR_MS, SETTINGS, now_ms=due + 120_000
        )
        for due in due_ms
    ]


def watch_clock(readings: Iterable[ClockReading]) -> list[Verdict]:
    """Each reading of the venue's clock."""
    return [validate_clock(reading, SETTINGS) for reading in readings]


def watch_instrument(read: Iterable[Instrument]) -> list[Verdict]:
    """The venue's entry of the symbol, as read."""
    return [validate_instrument(instrument, SETTINGS, where=SYMBOL) for instrument in read]


def watch_tape(tape: Tape) -> list[Verdict]:
    """A whole history, for evidence."""
    return [validate_tape(tape, SETTINGS, real=True)]


def _bars(data: Path, interval: str, start_ms: int, count: int) -> tuple[tuple[Bar, ...], dict[int, float]]:
    span_ms = {"5m": 300_000, "1h": HOUR_MS}[interval]
    stretch = (start_ms, start_ms + count * span_ms)
    perp = import_recorded(data, Market.PERP, SYMBOL, interval, *stretch)
    spot = import_recorded(data, Market.SPOT, SYMBOL, interval, *stretch)
    bars = [bar_at(perp, i) for i in range(len(perp))]
    second = dict(zip(spot.open_time_ms.tolist(), spot.close.tolist(), strict=True))
    return tuple(received_at(bar, bar.close_time_ms + LINE_MS) for bar in bars), second


def received_at(bar: Bar, received_ms: int) -> Bar:
    """The bar, learned of at this time."""
    return Bar(
        bar.market, bar.symbol, bar.interval, bar.open_time_ms, bar.open, bar.high, bar.low, bar.close, bar.volume_base,
        is_closed=True, received_ms=received_ms,
    )  # fmt: skip


def _quote(seen: Sighting) -> Quote:
    (bid, bid_base), (ask, ask_base) = seen.bids[0], seen.asks[0]
    return Quote(seen.market, SYMBOL, bid, ask, bid_base, ask_base, seen.at_ms)


def _book(seen: Sighting) -> Book:
    return Book(seen.market, SYMBOL, seen.bids[:DEPTH], seen.asks[:DEPTH], seen.at_ms)


def _mid(seen: Sighting, others: list[Sighting]) -> float:
    nearest = min(others, key=lambda other: abs(other.at_ms - seen.at_ms))
    return (nearest.bids[0][0] + nearest.asks[0][0]) / 2.0


def _funding(data: Path) -> tuple[tuple[FundingNow, ...], tuple[int, ...]]:
    """What the contract would have said a minute before each settlement, and the stamps of those settlements,
    with the venue's jitter where it was recorded.

    Only rate, mark and time were recorded; the index is spot's close of the hour before, the cap what the contract had.
    """
    columns = read_parquet(
        [data / f"funding_{SYMBOL}.parquet"], ("funding_time", "funding_time_raw", "funding_rate", "mark_price")
    )
    times = np.asarray(columns["funding_time"], dtype=np.int64)
    first = int(np.searchsorted(times, HOURS[0]))
    span = slice(first, first + SETTLEMENTS)
    spot = import_recorded(
        data, Market.SPOT, SYMBOL, "1h", int(times[span][0]) - HOUR_MS, int(times[span][-1]) + HOUR_MS
    )
    index = dict(zip((spot.open_time_ms + HOUR_MS).tolist(), spot.close.tolist(), strict=True))
    said = [
        FundingNow(
            SYMBOL, float(rate), int(time), 8 * HOUR_MS, 0.003, float(mark), index[int(time)], int(time) - 60_000
        )
        for time, rate, mark in zip(
            times[span], columns["funding_rate"][span], columns["mark_price"][span], strict=True
        )
    ]
    raw = np.asarray(columns["funding_time_raw"], dtype=np.float64)[span]
    stamps = np.where(np.isnan(raw), times[span], raw)
    return tuple(said), tuple(stamps.astype(np.int64).tolist())


def _instrument(data: Path) -> Instrument:
    listed = json.loads((data / "payloads" / "binance_rest" / "usdm_exchangeInfo_2025-03-06.trim.json").read_text())
    entry = next(symbol for symbol in listed["symbols"] if symbol["symbol"] == SYMBOL)
    return parse_market.instrument(Market.PERP, Answer.of(entry, "exchangeInfo"))
