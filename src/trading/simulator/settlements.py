"""Settled funding laid onto bars: what a position pays at a bar's open and inside it, and which rate rules may read.

Stamps jitter around the full hour and are taken to the nearest minute. A settlement at a bar's open, or in a gap before
it, meets the positions held into that bar; one later inside the bar meets whoever is in it by then (rule 13).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from trading.domain.clock import MINUTE_MS
from trading.domain.errors import StateFileError
from trading.market.tape import Funding
from trading.simulator.chunk import Settled


@dataclass(frozen=True, slots=True)
class Settlements:
    """Funding on m bars, (m,) each, read-only; amounts are quote per base unit (rate x mark price, else bar's open)."""

    at_open: NDArray[np.float64]
    """Net rate x price at or before the open; positive: longs pay."""
    long_pays: NDArray[np.float64]
    """Sum of the positive ones inside the bar."""
    short_pays: NDArray[np.float64]
    """Sum of the negative ones inside the bar, as positive numbers."""
    last_rate: NDArray[np.float64]
    """Last rate settled strictly before the close, fraction; nan before the first."""
    count_open: NDArray[np.int64]
    """Settlements in `at_open`."""
    count_inside: NDArray[np.int64]
    """Settlements inside the bar."""


def on_minutes(time_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Settlement stamps on the minute they are meant for."""
    return (time_ms + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS


def lay_settlements(
    funding: Funding,
    open_ms: NDArray[np.int64],
    opens: NDArray[np.float64],
    interval_ms: int,
    *,
    since_ms: int,
    rate_before: float,
) -> Settlements:
    """Put settlements onto the next bars of a tape.

    Args:
        funding: Of the tape; settlements before `since_ms` only serve as the last known rate.
        open_ms: (m,) open times of the bars.
        opens: (m,) their first prices.
        interval_ms: Length of a bar.
        since_ms: Close of the bar before the first one; the first open when there is none.
        rate_before: Last rate known at `since_ms`, nan: none; used where `funding` does not reach back.
    """
    times = on_minutes(funding.time_ms)
    at_open, long_pays, short_pays = np.zeros(len(opens)), np.zeros(len(opens)), np.zeros(len(opens))
    counts = np.zeros((2, len(opens)), dtype=np.int64)
    new = times >= since_ms
    bar = np.searchsorted(open_ms, times[new], side="left") - 1
    is_inside = (bar >= 0) & (times[new] < open_ms[np.maximum(bar, 0)] + interval_ms) if len(opens) else bar >= 0
    bar = np.where(is_inside, bar, bar + 1)
    met = bar < len(opens)  # the others meet a bar that is still to come
    bar, is_inside, mark = bar[met], is_inside[met], funding.mark_price[new][met]
    due = funding.rate[new][met] * np.where(np.isnan(mark), opens[bar], mark)
    for where, to, amounts in (
        (~is_inside, at_open, due),
        (is_inside & (due > 0.0), long_pays, due),
        (is_inside & (due < 0.0), short_pays, -due),
    ):
        np.add.at(to, bar[where], amounts[where])  # one after the other, in their order
    np.add.at(counts, (is_inside.astype(np.int64), bar), 1)
    last_rate = np.repeat(np.append(rate_before, funding.rate), _runs(times, open_ms + interval_ms))
    for column in (at_open, long_pays, short_pays, last_rate, counts):
        column.flags.writeable = False
    return Settlements(at_open, long_pays, short_pays, last_rate, counts[0], counts[1])


def settled_at(funding: Funding, close_ms: NDArray[np.int64], *, since_ms: int) -> Settled:
    """The settlements that the next bars of a tape are the first to know, and how many each of them knows.

    Args:
        close_ms: (m,) when the bars end. **Look-ahead**: only settlements strictly before count.
        since_ms: Close of the bar before the first one; 0 when there is none, and what the tape tells of before counts.
    """
    times = on_minutes(funding.time_ms)
    first, stop = np.searchsorted(times, [since_ms, close_ms[-1] if len(close_ms) else since_ms])
    known = np.repeat(np.arange(stop - first + 1), _runs(times[first:stop], close_ms))
    new = Settled(times[first:stop], funding.rate[first:stop], known)
    for column in new:
        column.flags.writeable = False
    return new


def _runs(times: NDArray[np.int64], close_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """(k + 1,) how many bars know none, the first, the first two, ... of k settlements at their close."""
    first_to_know = np.searchsorted(close_ms, times, side="right")
    return np.diff(np.concatenate(([0], first_to_know, [len(close_ms)])))


def joined(kept: Funding, told: Funding) -> Funding:
    """Settlements kept from an earlier tape with those of the next; one known to both counts once."""
    if len(kept.time_ms) == 0:
        return told
    new = ~np.isin(on_minutes(kept.time_ms), on_minutes(told.time_ms))
    times = np.concatenate((kept.time_ms[new], told.time_ms))
    order = np.argsort(times, kind="stable")
    return Funding(
        times[order],
        np.concatenate((kept.rate[new], told.rate))[order],
        np.concatenate((kept.mark_price[new], told.mark_price))[order],
    )


def not_before(funding: Funding, time_ms: int) -> Funding:
    """Settlements from a time on: those at a tape's end meet the next bar, and the next tape may begin after them."""
    kept = on_minutes(funding.time_ms) >= time_ms
    return Funding(funding.time_ms[kept], funding.rate[kept], funding.mark_price[kept])


def funding_to_json(funding: Funding) -> JsonValue:
    """Rows of time, rate and mark; an unknown mark is null."""
    rows = zip(funding.time_ms.tolist(), funding.rate.tolist(), funding.mark_price.tolist(), strict=True)
    return [[time_ms, rate, None if isnan(mark) else mark] for time_ms, rate, mark in rows]


def funding_from_json(plain: JsonValue, *, where: str) -> Funding:
    """The rows again.

    Raises:
        StateFileError: not a list of such rows.
    """
    try:
        table = np.array(plain, dtype=np.float64).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise StateFileError(f"{where}: not rows of time, rate and mark; restore it from a backup") from error
    return Funding(table[:, 0].astype(np.int64), table[:, 1].copy(), table[:, 2].copy())
