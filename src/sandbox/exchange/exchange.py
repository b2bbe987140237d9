"""The exchange put together: listings from the tape, one account, one key, and the moment everything is seen at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np

from sandbox.clock import SandboxClock
from sandbox.exchange.book import Book, Ladder, Level
from sandbox.exchange.engine import Engine
from sandbox.exchange.errors import SandboxError, refusal
from sandbox.exchange.feed import Feed
from sandbox.exchange.instruments import Market, instrument
from sandbox.exchange.ledger import Accounts, Ledger, accounts
from sandbox.exchange.listing import Fees, Listing
from sandbox.exchange.notices import Notices
from sandbox.exchange.tape import HOUR_MS, Recorded, Tape, unpack


@dataclass(frozen=True, slots=True)
class Start:
    """How an exchange begins."""

    tape: Path
    symbols: tuple[str, ...]
    start_ms: int
    """Sandbox time at the opening, UTC milliseconds."""
    scale: float = 1.0
    seed: int = 0
    spot_usdt: Decimal = Decimal(10_000)
    futures_usdt: Decimal = Decimal(10_000)
    fees: Fees = field(default_factory=Fees)


@dataclass(slots=True)
class Key:
    """The account's only API key."""

    name: str = "sandbox-key"
    secret: str = "sandbox-secret"  # noqa: S105 - opens nothing but this sandbox
    withdrawals: bool = False
    """True: it may withdraw, which a careful client refuses to trade with."""
    ip_restricted: bool = True
    expires_ms: int = 0
    """When its right to trade ends; 0: never."""
    revoked: bool = False
    """True: the owner took it back; whatever comes with it is refused (-2015)."""


LISTEN_KEY_MS = 3_600_000
"""A listen key lives for an hour unless it is kept."""


@dataclass(slots=True)
class ListenKey:
    """What the futures' account stream is asked for by; one at a time."""

    name: str = ""
    """Empty: none is valid."""
    until_ms: int = 0
    """When it expires, sandbox time."""
    given: int = 0

    def give(self, now_ms: int) -> str:
        """The valid key, kept for another hour, or a new one."""
        if not self.keep(now_ms):
            self.given += 1
            self.name, self.until_ms = f"sandbox0listen0key{self.given}", now_ms + LISTEN_KEY_MS
        return self.name

    def keep(self, now_ms: int) -> bool:
        """Keep it for another hour; False: there is none to keep."""
        if not self.name or now_ms >= self.until_ms:
            return False
        self.until_ms = now_ms + LISTEN_KEY_MS
        return True


@dataclass(slots=True)
class Published:
    """The order book as the wire knows it."""

    ladder: Ladder
    update_id: int


@dataclass(frozen=True, slots=True)
class Diff:
    """From one published book to the next."""

    first_id: int
    last_id: int
    previous_id: int
    bids: tuple[Level, ...]
    """Changed levels; quantity 0: gone."""
    asks: tuple[Level, ...]


class Exchange:
    """Everything the REST and stream handlers need.

    Args:
        clock: Sandbox time.
        engine: Orders and listings.
        key: Who may trade.
    """

    def __init__(self, clock: SandboxClock, engine: Engine, key: Key) -> None:
        self.clock, self.engine, self.key = clock, engine, key
        self.listen_key = ListenKey()
        self.notices = Notices()
        self.diff_listeners: list[Callable[[Market, str, Diff, int], None]] = []
        """Told of every change of a published book."""
        self.attempt_listeners: list[Callable[[Market, str], None]] = []
        """Told of every order that arrives, by its client id, before it is accepted or refused."""
        self._books: dict[tuple[Market, str], Published] = {}

    def now(self) -> int:
        """The present moment, UTC milliseconds; everything up to it has happened."""
        now_ms = self.clock.now_ms()
        self.engine.advance(now_ms)
        return now_ms

    def listing(self, market: Market, symbol: str) -> Listing:
        """A symbol.

        Raises:
            BinanceError: -1121, not listed there.
        """
        found = self.engine.listings.get((market, symbol))
        if found is None:
            raise refusal(-1121)
        return found

    def symbols(self, market: Market) -> list[str]:
        """What is listed on a market."""
        return [s for m, s in self.engine.listings if m is market]

    def publish(self, market: Market, symbol: str, ms: float) -> Published:
        """Renew the published book, and tell whoever follows it what has changed."""
        ladder = self.listing(market, symbol).book.ladder(ms)
        known = self._books.get((market, symbol))
        if known is None:
            known = self._books[market, symbol] = Published(ladder, 1_000_000)
            return known
        bids, asks = _changes(known.ladder.bids, ladder.bids), _changes(known.ladder.asks, ladder.asks)
        if not bids and not asks:
            return known
        before = known.update_id
        known.ladder, known.update_id = ladder, before + len(bids) + len(asks)
        diff = Diff(before + 1, known.update_id, before, bids, asks)
        for listener in self.diff_listeners:
            listener(market, symbol, diff, int(ms))
        return known

    def accounts(self, ms: float) -> Accounts:
        """The account added up, twice."""
        return accounts(self.engine.ledger, self.engine.lasts(ms), self.engine.marks(ms))


def open_exchange(start: Start, key: Key) -> Exchange:
    """Read the tape and open.

    Raises:
        SandboxError: the tape does not cover the start.
    """
    listings: dict[tuple[Market, str], Listing] = {}
    for tape in unpack(start.tape, start.symbols, start.start_ms):
        listings.update(_listings(tape, start.seed))
    if not listings:
        raise SandboxError("no --symbol given; name at least one, such as BTCUSDT")
    ledger = Ledger(start.spot_usdt, start.futures_usdt)
    clock = SandboxClock(start.start_ms, scale=start.scale)
    return Exchange(clock, Engine(listings, ledger, float(start.start_ms), start.fees), key)


def _listings(tape: Tape, seed: int) -> dict[tuple[Market, str], Listing]:
    found: dict[tuple[Market, str], Listing] = {}
    spot: Feed | None = None
    letters = [ord(letter) for letter in tape.symbol]
    if tape.spot is not None:
        spot = _feed(tape.spot, Market.SPOT, tape.symbol, [seed, 1, *letters], None)
        spec = instrument(Market.SPOT, tape.symbol)
        book = Book(spot, spec, key=[seed, 11, *letters])
        found[Market.SPOT, tape.symbol] = Listing(spec, spot, book, spot, np.empty((2, 0)))
    if tape.perp is not None:
        perp = _feed(tape.perp, Market.PERP, tape.symbol, [seed, 2, *letters], spot)
        spec = instrument(Market.PERP, tape.symbol)
        mark = perp
        if tape.mark is not None:
            key = [seed, 3, *letters]
            mark = Feed(tape.mark, tape.mark, step_ms=HOUR_MS, tick=0.0, key=key, guide=perp)
        book = Book(perp, spec, key=[seed, 12, *letters])
        found[Market.PERP, tape.symbol] = Listing(spec, perp, book, mark, tape.funding)
    return found


def _feed(recorded: Recorded, market: Market, symbol: str, key: list[int], guide: Feed | None) -> Feed:
    tick = float(instrument(market, symbol).tick)
    return Feed(recorded.base, recorded.hours, step_ms=recorded.step_ms, tick=tick, key=key, guide=guide)


def _changes(old: tuple[Level, ...], new: tuple[Level, ...]) -> tuple[Level, ...]:
    before, after = dict(old), dict(new)
    gone = tuple((price, Decimal(0)) for price in before if price not in after)
    return gone + tuple((price, size) for price, size in after.items() if before.get(price) != size)
