"""Recorded outages, labelled: an alarm inside one of them is right, not false. Real moves are not labelled.

The evidence is the recorded files themselves and their provenance: minutes that every spot symbol lacks at once are a
halt of the exchange; contracts that all stand still with a volume of 0 while spot trades are an outage of theirs.
Crashes (March 2020, May 2021, a coin's court verdict) are in no label: an alarm in one of them counts as false.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from trading.domain.instrument import Market

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Outage:
    """A stretch in which the market, or its recording, was not whole."""

    market: Market | None
    """None: both."""
    symbol: str | None
    """None: every symbol of the market."""
    start_ms: int
    end_ms: int
    """Where it trades again."""
    kind: str
    evidence: str

    def covers(self, market: Market, symbol: str, open_time_ms: int, interval_ms: int) -> bool:
        """Is a bar in it, or the first after it."""
        is_meant = self.market in (None, market) and self.symbol in (None, symbol)
        return is_meant and self.start_ms - interval_ms < open_time_ms <= self.end_ms + interval_ms


# First missing minute, minutes: BTCUSDT spot from 2018 on; the hourly files of every other spot symbol have the same
# holes from their listing on.
_SPOT_HALTS = (
    "2018-01-04T03:01 125, 2018-02-08T00:29 2011, 2018-02-10T06:00 15, 2018-02-11T04:01 34, 2018-06-26T02:00 600, "
    "2018-06-27T13:00 105, 2018-07-04T00:23 457, 2018-10-19T06:00 210, 2018-11-14T02:00 420, 2019-03-12T02:00 360, "
    "2019-05-15T03:00 600, 2019-06-07T21:14 61, 2019-08-15T02:00 480, 2019-11-13T02:00 140, 2019-11-13T05:30 3, "
    "2019-11-25T02:00 120, 2020-02-09T02:00 60, 2020-02-19T11:36 354, 2020-03-04T09:22 128, 2020-04-25T02:00 150, "
    "2020-06-28T02:00 210, 2020-11-30T06:00 60, 2020-12-21T13:48 252, 2020-12-25T02:00 60, 2021-02-11T03:41 79, "
    "2021-03-06T02:00 90, 2021-04-20T02:00 150, 2021-04-25T04:01 284, 2021-08-13T02:00 270, 2021-09-29T07:00 120, "
    "2023-03-24T11:28 152"
)
_HALT = "every spot symbol lacks these minutes at once, BTCUSDT's own minutes end and begin here"
# First and last flat bar of five minutes, the same in every recorded contract.
_FLAT_CONTRACTS = (("2024-10-28T16:25", 10), ("2024-10-28T20:00", 70))
_FLAT = "BTCUSDT and SOLUSDT contracts both have bars of volume 0 while spot trades"
_LISTED = (
    ("BTCUSDT", "2019-09-08T17:00"),
    ("ETHUSDT", "2019-11-27T07:00"),
)
_FIRST_DAY = "the contract's first day: hours without a trade, hundreds of basis points from spot"


def outages() -> Iterator[Outage]:
    """Every label."""
    for entry in _SPOT_HALTS.split(", "):
        start, minutes = entry.split(" ")
        yield _of(Market.SPOT, None, start, int(minutes), "exchange halt", _HALT)
    for start, minutes in _FLAT_CONTRACTS:
        yield _of(Market.PERP, None, start, minutes, "contracts' outage, flat candles", _FLAT)
    for symbol, start in _LISTED:
        yield _of(None, symbol, start, 24 * 60, "first trading day", _FIRST_DAY)
    hole = "43 bars missing of one download while the contract and other downloads trade on"
    yield _of(Market.SPOT, "SOLUSDT", "2024-11-19T20:25", 43 * 5, "source hole", hole)


def _of(market: Market | None, symbol: str | None, start: str, minutes: int, kind: str, evidence: str) -> Outage:
    start_ms = int(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp() * 1000)
    return Outage(market, symbol, start_ms, start_ms + minutes * MINUTE_MS, kind, evidence)
