"""What one snapshot of the venue says of one symbol: listing, filters, margin table, funding terms; pure.

A snapshot keeps the venue's own texts, cut down to the fields below, as a *row*; `row_of` cuts an entry of
`exchangeInfo` into one and `Listing.of` reads it. Filters have old and new names: `MIN_NOTIONAL` of old spot and of all
futures is `NOTIONAL` of spot since 2023, `PERCENT_PRICE` is `PERCENT_PRICE_BY_SIDE`.

Left out is what the lab does not use, and what moves every day: the bounds of the price, and the largest market order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from trading.domain.clock import HOUR_MS
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Bracket, Market

Row = Mapping[str, object]

DAY_PARTS_H = (1, 2, 3, 4, 6, 8, 12, 24)
LATEST_MS = 253_402_300_800_000
"""Year 10000; no date of the venue is there."""
NO_END_FROM_MS = 4_102_444_800_000
"""2100-01-01: a delivery date from here on means that the contract has no end."""
FILLER_ONBOARD_MS = 1_569_398_400_000
"""2019-09-25T08:00Z: the venue's date for every contract older than its dates. 77 of 133 contracts bear it in the
snapshot of 2021-09-06, BTCUSDT among them, whose candles begin on 2019-09-08."""
LARGEST_EXPONENT = 40
"""No price, quantity or time is beyond 1e40; arithmetic with what is would hang."""
TRADING = "TRADING"
NOT_YET = frozenset({"PENDING_TRADING", "PRE_TRADING"})
"""Statuses of what does not trade yet; every other but TRADING is of what trades no more, for a while or for good."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A symbol of one market as one snapshot has it; None: the venue does not say, or sets no such limit."""

    market: Market
    symbol: str
    base: str
    quote: str
    status: str
    """The venue's word: `TRADING`, `SETTLING`, `BREAK`, ..."""
    contract: str | None
    """`PERPETUAL`, `CURRENT_QUARTER`, ...; None for spot, empty where the venue leaves it so."""
    onboard_ms: int | None
    """Beginning of trading as the venue tells it; futures only, see `FILLER_ONBOARD_MS`."""
    delivery_ms: int | None
    """End of trading; futures only, None for a contract without an end."""
    tick: Decimal | None
    """Smallest price step, quote per base."""
    lot: Decimal | None
    """Smallest quantity step, base."""
    min_quantity: Decimal | None
    """Base."""
    max_quantity: Decimal | None
    """Of a limit order, base."""
    min_notional: Decimal | None
    """Quote."""
    price_up: Decimal | None
    """A price may be at most this many times the venue's reference."""
    price_down: Decimal | None
    """And at least this many times."""
    liquidation_fee_rate: Decimal | None
    """Fraction of notional; futures only."""

    @property
    def is_trading(self) -> bool:
        """The venue says the symbol takes orders."""
        return self.status == TRADING

    @classmethod
    def of(cls, market: Market, symbol: str, row: Row) -> Listing:
        """A row that `row_of` cut.

        Raises:
            DataProviderError: a number is none.
        """
        delivery_ms = _time(row, "delivery_ms")
        return cls(
            market=market,
            symbol=symbol,
            base=str(row.get("base", "")),
            quote=str(row.get("quote", "")),
            status=str(row.get("status", "")),
            contract=None if row.get("contract") is None else str(row["contract"]),
            onboard_ms=_time(row, "onboard_ms"),
            delivery_ms=None if delivery_ms is None or delivery_ms >= NO_END_FROM_MS else delivery_ms,
            **{name: _decimal(row, name) for name in _NUMBERS},
        )


_NUMBERS = (
    "tick",
    "lot",
    "min_quantity",
    "max_quantity",
    "min_notional",
    "price_up",
    "price_down",
    "liquidation_fee_rate",
)


@dataclass(frozen=True, slots=True)
class FundingTerms:
    """How a contract settles its funding (`fundingInfo`)."""

    interval_ms: int = 8 * HOUR_MS
    """Contracts that the venue does not list there settle every 8 h."""
    cap_rate: float = 0.02
    """Largest rate, fraction of notional; 2 % is the venue's general cap."""
    floor_rate: float = -0.02
    """Smallest rate."""


def row_of(entry: Mapping[str, object], where: str) -> tuple[str, dict[str, object]]:
    """An entry of `exchangeInfo.symbols`, cut down: its symbol and its row.

    Raises:
        DataProviderError: no symbol, no status, or a number that is none.
    """
    symbol, status = entry.get("symbol"), entry.get("status", entry.get("contractStatus"))
    if not isinstance(symbol, str) or not symbol or not isinstance(status, str):
        raise DataProviderError(f"{where}: symbol={symbol!r}, status={status!r}: not an entry of the exchange info")
    filters = _filters(entry)
    row: dict[str, object] = {
        "base": entry.get("baseAsset"),
        "quote": entry.get("quoteAsset"),
        "status": status,
        "contract": entry.get("contractType"),
        "onboard_ms": entry.get("onboardDate"),
        "delivery_ms": entry.get("deliveryDate"),
        "tick": _of(filters, ("PRICE_FILTER",), ("tickSize",), largest=False),
        "lot": _of(filters, ("LOT_SIZE",), ("stepSize",), largest=False),
        "min_quantity": _of(filters, ("LOT_SIZE",), ("minQty",), largest=False),
        "max_quantity": _of(filters, ("LOT_SIZE",), ("maxQty",), largest=False),
        "min_notional": _of(filters, ("NOTIONAL", "MIN_NOTIONAL"), ("minNotional", "notional"), largest=True),
        "price_up": _of(filters, _PERCENT, ("multiplierUp", "bidMultiplierUp", "askMultiplierUp"), largest=False),
        "price_down": _of(
            filters, _PERCENT, ("multiplierDown", "bidMultiplierDown", "askMultiplierDown"), largest=True
        ),
        "liquidation_fee_rate": entry.get("liquidationFee"),
    }
    kept = {name: value for name, value in row.items() if value is not None}
    Listing.of(Market.SPOT, symbol, kept)  # what cannot be read is refused before it is kept
    return symbol, kept


_PERCENT, _SIDES = ("PERCENT_PRICE_BY_SIDE", "PERCENT_PRICE"), ("m", "bidM", "askM")


def bracket_row(entry: Mapping[str, object], where: str) -> list[list[float]]:
    """A margin table, ascending: from, to, maintenance rate, amount, largest leverage of each step.

    Raises:
        DataProviderError: a step lacks a number.
    """
    names = ("notionalFloor", "notionalCap", "maintMarginRatio", "cum", "initialLeverage")
    steps = entry.get("brackets")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise DataProviderError(f"{where}: brackets={str(steps)[:80]}: not a margin table")
    return sorted([float(_needed(step, name, where)) for name in names] for step in steps)


def brackets_of(row: object) -> tuple[Bracket, ...]:
    """A row that `bracket_row` made."""
    steps = row if isinstance(row, list) else []
    return tuple(Bracket(*(float(value) for value in step)) for step in steps)


def terms_row(entry: Mapping[str, object], where: str) -> dict[str, object]:
    """An entry of `fundingInfo`, cut down.

    Raises:
        DataProviderError: a number is missing, or no day is made of such intervals.
    """
    interval_h = _needed(entry, "fundingIntervalHours", where)
    if interval_h not in DAY_PARTS_H:
        raise DataProviderError(f"{where}: fundingIntervalHours={interval_h}: no day is made of such intervals")
    return {
        "interval_h": int(interval_h),
        "cap_rate": str(_needed(entry, "adjustedFundingRateCap", where)),
        "floor_rate": str(_needed(entry, "adjustedFundingRateFloor", where)),
    }


def terms_of(row: Row) -> FundingTerms:
    """A row that `terms_row` made."""
    interval_ms = int(str(row["interval_h"])) * HOUR_MS
    return FundingTerms(interval_ms, float(str(row["cap_rate"])), float(str(row["floor_rate"])))


def plain(value: Decimal | None) -> str:
    """A number as people read it: `0.1`, not `0.10000000` or `1E-1`."""
    return "not told" if value is None else f"{value.normalize():f}"


def _filters(entry: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    found = entry.get("filters")
    told = found if isinstance(found, list) else []
    return {str(one.get("filterType")): one for one in told if isinstance(one, dict)}


def _of(
    filters: Mapping[str, Mapping[str, object]], kinds: Sequence[str], names: Sequence[str], *, largest: bool
) -> object:
    """The venue's text of the first of the filters that is there; of several fields of it the largest or smallest."""
    for kind in kinds:
        of_kind = filters.get(kind, {})
        told = [(value, of_kind[name]) for name in names if (value := _decimal(of_kind, name)) is not None]
        if told:
            return max(told)[1] if largest else min(told)[1]
    return None


def _needed(fields: Mapping[str, object], name: str, where: str) -> Decimal:
    value = _decimal(fields, name, zero_is_none=False)
    if value is None:
        raise DataProviderError(f"{where}: {name} is missing from the venue's answer")
    return value


def _decimal(fields: Mapping[str, object], name: str, *, zero_is_none: bool = True) -> Decimal | None:
    """A number of a row; the venue writes 0 for a filter that does not hold."""
    value = fields.get(name)
    if value is None:
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise DataProviderError(f"exchange info: {name}={str(value)[:80]!r}: not a number") from error
    if not number.is_finite() or abs(number.adjusted()) > LARGEST_EXPONENT:
        raise DataProviderError(f"exchange info: {name}={str(value)[:80]!r}: not a number of this world")
    return None if zero_is_none and number == 0 else number


def _whole(fields: Mapping[str, object], name: str) -> int | None:
    number = _decimal(fields, name)
    if number is not None and number != int(number):
        raise DataProviderError(f"exchange info: {name}={number}: not a whole number")
    return None if number is None else int(number)


def _time(fields: Mapping[str, object], name: str) -> int | None:
    time_ms = _whole(fields, name)
    if time_ms is not None and not 0 < time_ms < LATEST_MS:
        raise DataProviderError(f"exchange info: {name}={time_ms}: not a time of this world")
    return time_ms
