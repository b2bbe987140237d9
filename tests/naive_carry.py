"""The slow, obvious twin of the carry kernel: rules 12 to 18 told bar by bar, sharing no code with it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace

from tests.naive import bust_price, sigmas

HOUR_MS = 3_600_000
YEAR_H = 24 * 365


@dataclass
class CarryTrade:
    """A closed carry of the twin."""

    entry_bar: int
    exit_bar: int
    quantity: float
    spot_entry_price: float
    perp_entry_price: float
    spot_exit_price: float
    perp_exit_price: float
    fees: float
    slippage: float
    funding: float
    settlements: int
    pnl: float
    reason: str


@dataclass
class CarryOutcome:
    """What the twin found."""

    trades: list[CarryTrade] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    short_base: list[float] = field(default_factory=list)
    entries: int = 0
    settlements: int = 0
    liquidations: int = 0
    refused: int = 0
    gaps: int = 0
    funding: float = 0.0
    basis: float = 0.0
    fees: float = 0.0
    slippage: float = 0.0
    worst_drawdown: float = 0.0


def join(spot, perp):
    """The bars of both legs that have the same time; the perpetual's high counts bars that spot lacks."""
    in_spot = {t: i for i, t in enumerate(spot.time)}
    rows, highs = [], []
    for i, t in enumerate(perp.time):
        highs.append(perp.high[i])
        if t in in_spot:
            j = in_spot[t]
            rows.append(
                SimpleNamespace(
                    time=t,
                    spot_open=spot.open[j],
                    spot_low=spot.low[j],
                    spot_close=spot.close[j],
                    spot_paid=spot.volume[j] * spot.close[j],
                    perp_open=perp.open[i],
                    perp_high=max(highs) if rows else perp.high[i],
                    perp_close=perp.close[i],
                    perp_paid=perp.volume[i] * perp.close[i],
                )
            )
            highs = []
    return rows


def expected(settlements, close_ms: int, w) -> tuple[float, float] | None:
    """What the horizon is expected to pay a year, and the standard error of it; None: too little is known."""
    known = [(t, r) for t, r, _ in settlements if close_ms - w.lookback_hours * HOUR_MS <= t < close_ms]
    if len(known) < 3 or known[0][0] > close_ms - 64 * HOUR_MS:
        return None
    gaps = [known[i + 1][0] - known[i][0] for i in range(len(known) - 1)]
    spans = [min(max(math.floor(gap / HOUR_MS + 0.5), 1), 8) for gap in [gaps[0], *gaps]]
    mean = math.fsum(r for _, r in known) / sum(spans)
    off = [r / span - mean for (_, r), span in zip(known, spans, strict=True)]
    square = math.fsum(d * d for d in off)
    rho = 0.0
    if square > 0:
        rho = min(max(math.fsum(a * b for a, b in pairwise(off)) / square, 0.0), 0.98)
    n = max(1.0, w.horizon_hours / spans[-1])
    fading = (1 - rho**n) / (n * (1 - rho))
    hourly = mean + off[-1] * fading
    many = max(1.0, len(known) * (1 - rho) / (1 + rho))
    return hourly * YEAR_H, math.sqrt(square / (len(known) - 1) / many) * YEAR_H


def round_trip(o) -> float:
    """All four legs as a taker."""
    legs = (o.spot, o.perp)
    return sum(2 * leg.taker + 2 * leg.half_spread for leg in legs) + 4 * o.weights.impact_rate


def carry(spot, perp, settlements, o) -> CarryOutcome:
    """A carry over both legs.

    Args:
        spot: Lists `time`, `open`, `high`, `low`, `close`, `volume`.
        perp: The same.
        settlements: (time, rate, mark or None), on full minutes, oldest first.
        o: Options: `entry_apr, exit_apr, max_basis, min_hold, fraction, leverage, delay, lot, min_notional, brackets,
            liquidation_fee, spot, perp, start, weights`; `spot` and `perp` with `taker, half_spread, k`.
    """
    out, rows = CarryOutcome(), join(spot, perp)
    sigma = {
        "spot": sigmas([b.spot_open for b in rows], [b.spot_close for b in rows]),
        "perp": sigmas([b.perp_open for b in rows], [b.perp_close for b in rows]),
    }
    cash, held, plan, peak = o.start, None, None, o.start

    def slip(leg: str, notional: float, t: int) -> float:
        costs, paid = getattr(o, leg), getattr(rows[t - 1], f"{leg}_paid")
        return min(costs.half_spread + costs.k * sigma[leg][t - 1] * math.sqrt(notional / paid if paid > 0 else 1), 0.5)

    def earn(amount: float) -> None:
        got = max(amount, -held.margin)
        held.margin += got
        held.funding += got
        out.funding += got

    def buy_back(reference: float, fee_rate: float, t: int) -> None:
        nonlocal cash
        fill = reference * (1 + slip("perp", held.quantity * reference, t))
        broke = held.perp_price + held.margin / held.quantity
        fill = min(fill, broke)
        reference = min(reference, fill)
        back = max(held.margin + held.quantity * (held.perp_price - fill), 0.0)
        fee = min(held.quantity * fill * fee_rate, back)
        cash += back - fee
        held.fees += fee
        held.slippage += held.quantity * (fill - reference)
        held.perp_exit, held.perp_out, held.is_short = fill, reference, False

    def bust() -> float:
        return bust_price(-1, held.quantity, held.perp_price, held.margin, o.brackets)

    def liquidate(reference: float, t: int) -> None:
        nonlocal plan
        buy_back(reference, o.perp.taker + o.liquidation_fee, t)
        out.liquidations += 1
        plan = SimpleNamespace(what="leave", why="LIQUIDATION")

    for t, b in enumerate(rows):
        since = rows[t - 1].time + HOUR_MS if t else b.time
        at_open = [(r, m) for s, r, m in settlements if since <= s <= b.time]
        inside = [(r, m) for s, r, m in settlements if b.time < s < b.time + HOUR_MS]
        due = plan
        if held and b.time > since:
            out.gaps += 1

        if held and held.is_short:
            out.settlements += len(at_open)
            held.settlements += len(at_open)
            earn(held.quantity * math.fsum(r * (b.perp_open if m is None else m) for r, m in at_open))
            if b.perp_open >= bust():
                liquidate(b.perp_open, t)

        if held and due and due.what == "leave":
            reason = "LIQUIDATION"
            if held.is_short:
                reason = due.why
                buy_back(b.perp_open, o.perp.taker, t)
            price = b.spot_open * (1 - slip("spot", held.quantity * b.spot_open, t))
            fee = held.quantity * price * o.spot.taker
            cash += held.quantity * price - fee
            held.fees += fee
            held.slippage += held.quantity * (b.spot_open - price)
            out.fees += held.fees
            out.slippage += held.slippage
            out.basis += held.quantity * (b.spot_open - held.spot_in + held.perp_in - held.perp_out)
            out.trades.append(
                CarryTrade(
                    *(held.bar, t, held.quantity, held.spot_price, held.perp_price, price, held.perp_exit),
                    *(held.fees, held.slippage, held.funding, held.settlements, cash - held.before, reason),
                )
            )
            held = plan = None
        elif not held and due and due.what == "enter":
            if due.wait > 0:
                due.wait -= 1
            else:
                plan = None
                capital = cash * o.fraction
                spot_price = b.spot_open * (1 + slip("spot", capital, t))
                perp_price = b.perp_open * (1 - slip("perp", capital, t))
                one = spot_price + perp_price / o.leverage + spot_price * o.spot.taker + perp_price * o.perp.taker
                lots = math.floor(capital / one / o.lot + 1e-9)
                quantity = lots * o.lot if o.lot >= 1 else lots / round(1 / o.lot)
                if lots <= 0 or min(spot_price, perp_price) * quantity < o.min_notional:
                    out.refused += 1
                else:
                    margin = quantity * perp_price / o.leverage
                    fees = quantity * spot_price * o.spot.taker + quantity * perp_price * o.perp.taker
                    slipped = quantity * (spot_price - b.spot_open) + quantity * (b.perp_open - perp_price)
                    held = SimpleNamespace(
                        quantity=quantity, spot_price=spot_price, perp_price=perp_price, margin=margin, fees=fees,
                        slippage=slipped, funding=0.0, settlements=0, bar=t, before=cash, is_short=True,
                        spot_in=b.spot_open, perp_in=b.perp_open, perp_exit=None, perp_out=None,
                    )  # fmt: skip
                    cash -= quantity * spot_price + margin + fees
                    out.entries += 1

        if held and held.is_short:
            out.settlements += len(inside)
            held.settlements += len(inside)
            flows = [r * (b.perp_open if m is None else m) for r, m in inside]
            if b.perp_high >= bust():
                price = max(bust(), b.perp_open)
                earn(held.quantity * math.fsum(x for x in flows if x < 0))
                liquidate(price, t)
            else:
                earn(held.quantity * math.fsum(flows))

        equity = worst = cash
        if held:
            equity = worst = cash + held.quantity * b.spot_close
            if held.is_short:
                equity = worst = equity + held.margin + held.quantity * (held.perp_price - b.perp_close)
            else:
                worst = cash + held.quantity * b.spot_low
        out.worst_drawdown = max(out.worst_drawdown, 1 - worst / peak)
        peak = max(peak, equity)
        out.equity.append(equity)
        out.short_base.append(held.quantity if held and held.is_short else 0.0)

        if plan is None or (plan.what == "enter" and held):
            w, plan = o.weights, None
            hope = expected(settlements, b.time + HOUR_MS, w)
            basis = b.perp_close / b.spot_close - 1
            if held and held.is_short and bust() / b.perp_close - 1 < w.min_liquidation_distance:
                plan = SimpleNamespace(what="leave", why="MARGIN")
            elif held and basis > w.basis_stress * o.max_basis:
                plan = SimpleNamespace(what="leave", why="BASIS")
            elif held:
                if held.settlements >= o.min_hold and hope and hope[0] < o.exit_apr:
                    plan = SimpleNamespace(what="leave", why="EXPECTATION")
            elif hope and abs(basis) <= o.max_basis:
                careful = hope[0] - w.doubt * hope[1]
                earned, dear = careful * w.horizon_hours / YEAR_H, w.cost_margin * round_trip(o)
                if careful >= o.entry_apr and earned >= dear:
                    plan = SimpleNamespace(what="enter", wait=o.delay)

    if held:
        last = rows[-1]
        out.fees += held.fees
        out.slippage += held.slippage
        perp_now = last.perp_close if held.is_short else held.perp_out
        out.basis += held.quantity * (last.spot_close - held.spot_in + held.perp_in - perp_now)
    return out
