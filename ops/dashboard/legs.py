"""A live carry as the last cycle read it: both legs, margin and distance to liquidation, basis, funding."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from ops.dashboard.cycles import Cycle, Held
from ops.dashboard.view import Cell, Column, Facts, Table, Tone, fine, money, percent, when
from trading.domain.counted import counted
from trading.domain.market import YEAR_MS
from trading.funding.books import performance
from trading.funding.position import CarryPosition


def legs(live: CarryPosition, told: Held | None, last: Cycle | None) -> Table:
    """Both legs as the last cycle read them."""
    columns = (
        Column("Leg"),
        Column("Held, base", is_number=True),
        Column("Price", is_number=True),
        Column("Worth, USDT", is_number=True),
    )
    rows = []
    if told is not None and told.spot_base is not None and told.perp_base is not None:
        legs = (("spot, long", told.spot_base, told.spot_price), ("perpetual, short", told.perp_base, told.mark_price))
        worth = [None if price is None else base * price for _, base, price in legs]
        for (name, base, price), quote in zip(legs, worth, strict=True):
            rows.append(_row(name, base, "–" if price is None else _plain(price), quote))
        both = None if worth[0] is None or worth[1] is None else worth[0] + worth[1]  # as the column adds up
        _, *rest = _row("", told.spot_base + told.perp_base, "", both)
        rows.append((_together(told.spot_base, -told.perp_base, live.parameters.rebalance_delta_pct), *rest))
    if told is None:
        rows += _by_books(live)
    when_read = f" as of {when(last.at_ms)} UTC" if last is not None and told is not None else ""
    unread = "" if told is not None else " No cycle lately has read it: held by the lab's own books, at no price."
    return Table(
        f"{live.symbol}: both legs{when_read}",
        columns,
        tuple(rows),
        empty="the last cycles did not read it",
        note=f"Position {live.id}, {live.status}.{unread}",
    )


def _by_books(live: CarryPosition) -> list[tuple[Cell, ...]]:
    """Both legs by what was filled of them."""
    booked = performance(live.fills, live.income, spot_price=Decimal(0), mark_price=Decimal(0))
    rows = [_row("spot, long", booked.spot_base, "–", None), _row("perpetual, short", booked.perp_base, "–", None)]
    together = _together(booked.spot_base, -booked.perp_base, live.parameters.rebalance_delta_pct)
    return [*rows, (together, *_row("", booked.spot_base + booked.perp_base, "–", None)[1:])]


def _together(spot_base: Decimal, short_base: Decimal, delta_pct: float) -> Cell:
    """What both legs are to each other: even, further apart than the strategy allows, or one without the other."""
    if min(spot_base, short_base) <= 0 < max(spot_base, short_base):
        return Cell("both together: ONE LEG ALONE", Tone.BAD, signed=True)
    apart = float(abs(spot_base - short_base) / max(spot_base, short_base, Decimal("1e-8")))
    if apart > delta_pct / 100:
        return Cell(f"both together: {percent(apart, digits=1)} apart", Tone.CAUTION, signed=True)
    return Cell("both together")


def _plain(value: Decimal) -> str:
    """To the exchange's finest step, 1e-8: a mid of two prices was a float once."""
    return f"{value:,.8f}".rstrip("0").rstrip(".").replace("-", "−")


def _row(name: str, base: Decimal, price: str, quote: Decimal | None) -> tuple[Cell, ...]:
    worth = "–" if quote is None else money(float(quote))
    return Cell(name), Cell(_plain(base)), Cell(price), Cell(worth)


def terms(live: CarryPosition, told: Held | None, *, at_ms: int, interval_ms: int) -> Facts:
    """What the position rests on, as the cycle of `at_ms` read it; its contract settles every `interval_ms`."""
    rows = [
        ("Opened", Cell(f"{when(live.opened_ms)} UTC by {live.spec_id}")),
        ("Capital of one leg", Cell(f"{money(float(live.capital_quote))} USDT")),
        ("Legs apart for at most", Cell(f"{live.max_unhedged_s:.1f} s")),
    ]
    if told is not None:
        known: Mapping[str, str | None] = {
            "Profit": None if told.profit_quote is None else f"{fine(told.profit_quote)} USDT",
            "Funding": None
            if told.funding_quote is None
            else f"{fine(told.funding_quote)} USDT over {counted(told.settlements or 0, 'settlement')}",
            "Fees": None if told.fees_quote is None else f"{fine(-told.fees_quote)} USDT",
            "Margin of the contract": None if told.margin_quote is None else f"{money(float(told.margin_quote))} USDT",
            "Liquidation is away": None
            if told.liquidation_distance is None
            else percent(told.liquidation_distance, digits=1),
            "Basis": None
            if told.basis_bps is None
            else f"{told.basis_bps:+.1f} bps, at most {live.parameters.max_basis_bps:g} to enter".replace("-", "−"),
            "Funding now": None
            if told.present_funding_apr is None
            else f"{percent(told.present_funding_apr, signed=True)} a year",
            "Funding expected": None
            if told.expected_funding_apr is None
            else f"{percent(told.expected_funding_apr, signed=True)} a year",
            "Next settlement": _coming(told, at_ms, interval_ms),
        }
        rows += [(name, Cell("not written down" if words is None else words)) for name, words in known.items()]
    return Facts(f"{live.symbol}: margin, basis, funding", tuple(rows))


def _coming(told: Held, at_ms: int, interval_ms: int) -> str | None:
    """When the contract settles next, and what that brings at the rate and the mark of now."""
    if told.perp_base is None or told.mark_price is None or told.present_funding_apr is None:
        return None
    rate = told.present_funding_apr * interval_ms / YEAR_MS
    amount = -float(told.perp_base * told.mark_price) * rate
    return f"{when((at_ms // interval_ms + 1) * interval_ms)} UTC, {fine(amount)} USDT at the present rate"
