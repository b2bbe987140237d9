"""Filters of the listed symbols: Binance's own numbers of 2024 for five pairs, plain ones for any other."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Market(StrEnum):
    """The two venues behind the port."""

    SPOT = "spot"
    PERP = "perp"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One symbol on one market."""

    market: Market
    symbol: str
    tick: Decimal
    """Price step, quote."""
    lot: Decimal
    """Quantity step and smallest quantity, base."""
    min_notional: Decimal
    """Smallest price times quantity, quote."""
    max_qty: Decimal
    """Largest quantity of one order, base."""

    @property
    def base(self) -> str:
        """The asset that is bought: BTC."""
        return self.symbol.removesuffix("USDT")

    @property
    def price_places(self) -> int:
        """Decimals of the tick."""
        return _places(self.tick)

    @property
    def lot_places(self) -> int:
        """Decimals of the lot."""
        return _places(self.lot)


@dataclass(frozen=True, slots=True)
class Bracket:
    """A step of the maintenance margin table."""

    number: int
    max_leverage: int
    floor: Decimal
    """Notional from which it counts, quote."""
    cap: Decimal
    """Notional up to which it counts, quote."""
    rate: Decimal
    """Maintenance margin rate, fraction of notional."""
    cum: Decimal
    """Deduction that makes the steps meet, quote."""


# tick, lot, minimum notional, largest order: spot, then perpetual
_TABLE: dict[str, tuple[tuple[str, str, str, str], tuple[str, str, str, str]]] = {
    "BTCUSDT": (("0.01", "0.00001", "5", "9000"), ("0.1", "0.001", "100", "1000")),
    "ETHUSDT": (("0.01", "0.0001", "5", "9000"), ("0.01", "0.001", "20", "10000")),
    "SOLUSDT": (("0.01", "0.001", "5", "90000"), ("0.001", "1", "5", "1000000")),
    "BNBUSDT": (("0.1", "0.001", "5", "90000"), ("0.01", "0.01", "5", "10000")),
    "XRPUSDT": (("0.0001", "1", "5", "9222449"), ("0.0001", "0.1", "5", "1000000")),
}
_GENERIC = (("0.0001", "0.1", "5", "1000000"), ("0.0001", "0.1", "5", "1000000"))

_STEPS = (("300000", 125, "0.004"), ("800000", 100, "0.005"), ("3000000", 75, "0.0065"), ("12000000", 50, "0.01"),
          ("70000000", 20, "0.02"), ("230000000", 10, "0.05"), ("480000000", 5, "0.1"))  # fmt: skip


def instrument(market: Market, symbol: str) -> Instrument:
    """The filters of a symbol."""
    row = _TABLE.get(symbol, _GENERIC)[0 if market is Market.SPOT else 1]
    tick, lot, min_notional, max_qty = (Decimal(text) for text in row)
    return Instrument(market, symbol, tick, lot, min_notional, max_qty)


def brackets() -> tuple[Bracket, ...]:
    """The maintenance margin table of every perpetual here (Binance's for BTCUSDT, shortened)."""
    rows: list[Bracket] = []
    floor, cum, last_rate = Decimal(0), Decimal(0), Decimal(0)
    for number, (cap, leverage, rate_text) in enumerate(_STEPS, start=1):
        rate = Decimal(rate_text)
        cum += floor * (rate - last_rate)
        rows.append(Bracket(number, leverage, floor, Decimal(cap), rate, cum))
        floor, last_rate = Decimal(cap), rate
    return tuple(rows)


BRACKETS = brackets()


def bracket_of(notional: Decimal) -> Bracket:
    """The step a position of this notional stands on."""
    for step in BRACKETS:
        if notional <= step.cap:
            return step
    return BRACKETS[-1]


def _places(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
