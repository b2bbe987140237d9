"""A market with nothing to find, made from the bars of a recorded one.

Bars are drawn in blocks, so that calm and wild weeks stay together, and each keeps its volume. Then its direction is
drawn anew: the step from the close before to its open, and the way from its open to its close, are each turned round
with probability 1/2, by signs that nothing else knows. Steps are simple returns, so whatever happened before, the next
open and the next close are expected where the price is: no rule that fills at opens earns more than chance and costs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.stationary_bootstrap import stationary_bootstrap
from trading.domain.clock import iso
from trading.domain.errors import DataProviderError
from trading.market.tape import Funding, Tape, make_tape

Floats = NDArray[np.float64]

BLOCK_MS = 7 * 86_400_000
"""Mean length of a block: a week."""
FUNDING_MS = 8 * 3_600_000
"""Between settlements of the new market; they lie on multiples of it."""


def null_market(source: Tape, *, bars: int, seed: int) -> Tape:
    """A made-up market that moves as wildly as a recorded one, and whose direction nobody can know.

    Where blocks meet, a bar keeps its own step from the close before. Two signs a bar, not one: with one, a bar whose
    open tells its sign would tell its close, and the product of both steps would be a drift.

    High and low turn round with the way from open to close. What is filled inside a bar, by a stop or a target, is
    filled on a recorded bar or its mirror image, and recorded bars come back from their extremes: before costs a stop
    loses 2 to 4 bps a trade and a target gains up to 2 (BTCUSDT 2021 to 2024), both small beside 21 bps of costs.

    Args:
        source: The recorded market; gaps in it are passed over.
        bars: Length of the new one, >= 1. It begins where the source does, at the source's median close.
        seed: Same source, length and seed: same bars to the bit.

    Returns:
        Same market, symbol and interval, no gaps, origin `synthetic`. A perpetual is settled every 8 h at the rate that
        held in the source when the drawn bar opened, its sign drawn anew, marks not recorded. No spot beside it.

    Raises:
        DataProviderError: a step or a way inside a bar of the source is 100 % or more, so that its mirror image has no
            price; or the new prices leave what a tape may hold.
        ValueError: bars < 1.
    """
    if bars < 1:
        raise ValueError(f"null market: bars={bars}: give 1 or more")
    random = np.random.default_rng(seed)
    steps, ways = _turnable_moves(source)
    drawn = _drawn_bars(len(source), bars, BLOCK_MS / source.interval_ms, random)
    signs = 1.0 - 2.0 * random.integers(0, 2, (2, bars))
    up, down, way = ways[:, drawn] * signs[1]
    is_turned = signs[1] < 0.0
    turned = np.stack((np.where(is_turned, down, up), np.where(is_turned, up, down), way))
    opened, high, low, closed = _prices(float(np.median(source.close)), steps[drawn] * signs[0], turned)
    times = source.start_ms + source.interval_ms * np.arange(bars, dtype=np.int64)
    return make_tape(
        replace(
            source,
            origin="synthetic",
            open_time_ms=times,
            open=opened,
            high=high,
            low=low,
            close=closed,
            volume_base=source.volume_base[drawn],
            funding=_funding(source, times, drawn, random),
            spot_close=np.empty(0),
        )
    )


def after_the_wildest(source: Tape) -> Tape:
    """The newest bars of a tape, from after the last one that could not be turned round; all, where each could be."""
    wild = np.flatnonzero(_largest_moves(*_moves(source)) >= 1.0)
    if len(wild) == 0:
        return source
    return source.window(int(source.open_time_ms[wild[-1]]) + source.interval_ms, source.end_ms)


def mirrored(market: Tape) -> Tape:
    """A null market with every step, every way inside a bar and every settled rate turned round.

    It is as likely as the market itself, and who is lucky in the one is unlucky in the other: what is averaged over
    both has lost most of its chance. Volume is the same.

    Raises:
        DataProviderError: a step or a way inside a bar is 100 % or more.
    """
    steps, ways = _turnable_moves(market)
    opened, high, low, closed = _prices(float(market.open[0]), -steps, -ways[[1, 0, 2]])
    told = market.funding
    return make_tape(
        replace(
            market,
            origin="synthetic",
            open=opened,
            high=high,
            low=low,
            close=closed,
            funding=Funding(told.time_ms, -told.rate, np.full(len(told.rate), np.nan)),
            spot_close=np.empty(0),
        )
    )


def _prices(first: float, steps: Floats, ways: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Open, high, low and close, (n,) each, from the first open on.

    Args:
        first: Open of the first bar.
        steps: (n,) from the close before to the open, fractions; the first is passed over.
        ways: (3, n) from the open to high, low and close, fractions.
    """
    factors = np.empty((len(steps), 2))
    factors[:, 0] = 1.0 + steps
    factors[:, 1] = 1.0 + ways[2]
    factors[0, 0] = first
    opened, closed = np.cumprod(factors, dtype=np.float64).reshape(-1, 2).T
    return opened, opened * (1.0 + ways[0]), opened * (1.0 + ways[1]), closed


def _moves(source: Tape) -> tuple[Floats, Floats]:
    """(n,) open over the close before, and (3, n) high, low and close over the open, each less one."""
    steps = np.zeros(len(source))
    steps[1:] = source.open[1:] / source.close[:-1] - 1.0
    return steps, np.stack((source.high, source.low, source.close)) / source.open - 1.0


def _largest_moves(steps: Floats, ways: Floats) -> Floats:
    largest: Floats = np.maximum(np.abs(steps), np.abs(ways).max(axis=0))
    return largest


def _turnable_moves(source: Tape) -> tuple[Floats, Floats]:
    """The moves of a tape whose every bar has a mirror image.

    Raises:
        DataProviderError: one is 1 or more either way; names the bar.
    """
    steps, ways = _moves(source)
    largest = _largest_moves(steps, ways)
    if (bad := largest >= 1.0).any():
        bar = int(np.argmax(bad))
        raise DataProviderError(
            f"null market of {source.symbol} {source.interval}: bar {bar} at {iso(int(source.open_time_ms[bar]))} "
            f"moves by {largest[bar]:.0%}: turned round it has no price; begin the source after it"
        )
    return steps, ways


def _drawn_bars(n: int, bars: int, block_length: float, random: np.random.Generator) -> NDArray[np.int64]:
    """(bars,) which of n bars comes when: resamples of the source one after the other, as many as it takes."""
    draws = -(-bars // n)
    return stationary_bootstrap(n, block_length=max(1.0, block_length), draws=draws, seed=random).ravel()[:bars]


def _funding(source: Tape, times: NDArray[np.int64], drawn: NDArray[np.int64], random: np.random.Generator) -> Funding:
    """Settled on the new market's 8 h stamps, at the source's rates when the bars drawn there opened."""
    told = source.funding
    if len(told.time_ms) == 0:
        return Funding.none()
    start_ms, end_ms = int(times[0]), int(times[-1]) + source.interval_ms
    stamps = np.arange((start_ms // FUNDING_MS + 1) * FUNDING_MS, end_ms + 1, FUNDING_MS, dtype=np.int64)
    there = drawn[np.searchsorted(times, stamps, side="right") - 1]
    last = np.searchsorted(told.time_ms, source.open_time_ms[there], side="right") - 1
    signs = 1.0 - 2.0 * random.integers(0, 2, len(stamps))
    return Funding(stamps, told.rate[np.maximum(last, 0)] * signs, np.full(len(stamps), np.nan))
