"""The carry's decisions, pure: enter when the horizon pays for the round trip, hold through sign flips, leave when the
horizon's expectation, the basis or the margin says so.

The deciding is `simulator/carry_outlook.py`, which backtests and paper step too; here it is fed with what the venue
says now, and told in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from trading.domain.clock import DAY_MS, HOUR_MS
from trading.domain.counted import counted
from trading.domain.decisions import Decision, Reason
from trading.domain.market import FundingNow, FundingRate, Quote
from trading.domain.orders import FeeTier
from trading.funding.carry_settings import CarrySettings
from trading.funding.rates import apr, horizon_funding
from trading.market.validator_rules import FLAWLESS, Verdict
from trading.simulator.carry_numbers import carry_terms
from trading.simulator.carry_outlook import HOURS_A_YEAR, LEAST_COVER_MS, CarryVerdict, CarryView, carry_decision
from trading.simulator.carry_weights import round_trip_rate
from trading.strategy.parameters import CarryParameters

ENOUGH = 30
"""Settlements below which no interval is told."""
INTERVAL = 1.96
"""Half width of a 95 % interval, standard errors."""


@dataclass(frozen=True, slots=True)
class CarryMarket:
    """All a decision looks at, read in one cycle."""

    now_ms: int
    spot: Quote
    perp: Quote
    funding: FundingNow
    settled: tuple[FundingRate, ...]
    """Settled rates, oldest first.

    Look-ahead: nothing after `now_ms` may be in here.
    """
    spot_fees: FeeTier
    perp_fees: FeeTier
    data: Verdict = FLAWLESS
    """The data validator's, over both quotes and the funding."""

    @property
    def basis_rate(self) -> float:
        """How far the contract stands above spot, fraction of spot; negative below."""
        return self.perp.mid / self.spot.mid - 1

    @property
    def quote_age_s(self) -> float:
        """Of the older quote."""
        return (self.now_ms - min(self.spot.at_ms, self.perp.at_ms)) / 1000

    def round_trip_rate(self, impact_rate: float) -> float:
        """Fees, half spreads and impact of all four legs as a taker, fraction of one leg's notional."""
        fees = (self.spot_fees.taker_rate, self.perp_fees.taker_rate)
        spreads = ((quote.ask - quote.bid) / quote.mid for quote in (self.spot, self.perp))
        return float(round_trip_rate(*(float(rate) for rate in (*fees, *spreads, impact_rate))))


@dataclass(frozen=True, slots=True)
class Held:
    """What the exit decision needs to know of the position."""

    opened_ms: int
    fundings: int
    """Settlements booked so far."""
    liquidation_distance_fraction: float | None
    """How far the mark may move against the short before it is liquidated; None: the venue names no price."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the horizon is expected to bring."""

    expected_apr: float
    """Over the horizon, fraction of notional a year; nan, as all that rests on it: too little is known."""
    error_apr: float
    """Its standard error."""
    careful_apr: float
    """After doubt."""
    round_trip_rate: float
    break_even_days: float
    """At the careful rate; infinite when it is not positive."""
    horizon_rate: float
    """Careful expectation over the whole horizon, fraction of notional."""


def outlook(market: CarryMarket, settings: CarrySettings) -> Outlook:
    """Expected funding over the horizon against the full round trip.

    Raises:
        DataProviderError: the settled history makes no sense.
    """
    weights = settings.weights()
    present = market.funding.rate, market.funding.interval_ms
    expected, error = horizon_funding(market.settled, *present, now_ms=market.now_ms, weights=weights)
    careful = expected - weights.doubt * error
    cost = market.round_trip_rate(weights.impact_rate)
    break_even = cost / (careful / 365) if careful > 0 else float("inf")
    return Outlook(expected, error, careful, cost, break_even, careful * weights.horizon_hours / HOURS_A_YEAR)


def check_market(market: CarryMarket, settings: CarrySettings) -> Decision:
    """Is what was read fit to trade on: fresh quotes that are not crossed, a rate within its cap, the validator."""
    age_s = market.quote_age_s
    if age_s > settings.max_quote_age_s:
        return Decision(False, Reason.QUOTE_STALE, age_s, settings.max_quote_age_s, "the older of the two quotes")
    for quote in (market.spot, market.perp):
        if not 0 < quote.bid <= quote.ask:
            note = f"{quote.market} bid {quote.bid} and ask {quote.ask} make no sense"
            return Decision(False, Reason.DATA_BLOCKED, quote.bid, quote.ask, note)
    rate, cap = abs(market.funding.rate), market.funding.cap_rate
    if rate > cap:
        return Decision(False, Reason.FUNDING_IMPLAUSIBLE, rate, cap, "beyond the contract's own cap")
    if not market.data.ok_for_orders:
        worst = market.data.findings[0]
        return Decision(False, Reason.DATA_BLOCKED, worst.value, worst.limit, "; ".join(market.data.reasons))
    return Decision(True, Reason.OK, age_s, settings.max_quote_age_s)


def decide_entry(market: CarryMarket, parameters: CarryParameters, settings: CarrySettings) -> Decision:
    """Open, or why not. The note tells the expectation and the days until the round trip is earned.

    Raises:
        DataProviderError: the settled history makes no sense.
    """
    data = check_market(market, settings)
    if not data.allowed:
        return data
    view = outlook(market, settings)
    note = _tell(view, market, settings)
    verdict = _decide(market, view, parameters, settings)
    if verdict is CarryVerdict.UNKNOWN:
        since_ms = min((rate.time_ms for rate in market.settled), default=market.now_ms)
        days, needed = (market.now_ms - since_ms) / DAY_MS, LEAST_COVER_MS / DAY_MS
        note = f"{len(market.settled)} settled rates over {days:.1f} days are too few to expect anything of"
        return Decision(False, Reason.DATA_UNAVAILABLE, days, needed, note)
    if verdict is CarryVerdict.BASIS_WIDE:
        return Decision(False, Reason.BASIS_TOO_WIDE, abs(market.basis_rate), parameters.max_basis_rate, note)
    if verdict is CarryVerdict.COST_HIGH:
        needed = settings.cost_margin * view.round_trip_rate
        return Decision(False, Reason.COST_ABOVE_EXPECTED, view.horizon_rate, needed, note)
    enters = verdict is CarryVerdict.ENTER
    reason = Reason.OK if enters else Reason.FUNDING_TOO_LOW
    return Decision(enters, reason, view.careful_apr, parameters.entry_apr_fraction, note)


def decide_exit(market: CarryMarket, parameters: CarryParameters, held: Held, settings: CarrySettings) -> Decision:
    """Hold (not allowed, HOLDING) or leave (allowed, with the reason to).

    One negative settlement is no reason: leaving costs half a round trip and coming back the other half. Danger to the
    margin or the hedge is one at once; a low expectation only after `min_hold_fundings`. What is not known is none.

    Raises:
        DataProviderError: the settled history makes no sense.
    """
    danger = margin_danger(held, settings)
    if danger is not None:
        return danger
    view = outlook(market, settings)
    verdict = _decide(market, view, parameters, settings, held)
    if verdict is CarryVerdict.LEAVE_BASIS:
        stress = settings.basis_stress * parameters.max_basis_rate
        return Decision(True, Reason.BASIS_TOO_WIDE, market.basis_rate, stress, "the basis stands against the short")
    is_known = isfinite(view.expected_apr)
    expected = f"{view.expected_apr:.2%} a year" if is_known else "nothing, for too little is known"
    note = f"expected {expected}, {counted(held.fundings, 'settlement')} booked"
    if verdict is CarryVerdict.MIN_HOLD or not is_known:
        value, limit = float(held.fundings), float(parameters.min_hold_fundings)
        return Decision(False, Reason.HOLDING, value, limit, note)
    leaves = verdict is CarryVerdict.LEAVE_EXPECTATION
    reason = Reason.EXPECTATION_NEGATIVE if leaves else Reason.HOLDING
    return Decision(leaves, reason, view.expected_apr, parameters.exit_apr_fraction, note)


def _decide(
    market: CarryMarket,
    view: Outlook,
    parameters: CarryParameters,
    settings: CarrySettings,
    held: Held | None = None,
) -> CarryVerdict:
    """The kernel's decision, the one that backtests step."""
    distance = None if held is None else held.liquidation_distance_fraction
    seen = CarryView(
        is_open=held is not None,
        expected_apr=view.expected_apr,
        error_apr=view.error_apr,
        round_trip_rate=view.round_trip_rate,
        basis_rate=float(market.basis_rate),
        fundings=0 if held is None else int(held.fundings),
        liquidation_distance=float("inf") if distance is None else float(distance),
    )
    return CarryVerdict(carry_decision(seen, carry_terms(parameters, settings.weights())))


def margin_danger(held: Held, settings: CarrySettings) -> Decision | None:
    """Leave, because the short is near its liquidation by the venue's own numbers; None: it is not.

    It needs no quote, so it holds while the validator blocks orders: data that is doubted must not hold a position in
    danger.
    """
    distance, floor = held.liquidation_distance_fraction, settings.min_liquidation_pct / 100
    if distance is None or distance >= floor:
        return None
    return Decision(True, Reason.LEVERAGE, distance, floor, "the contract's liquidation price is too near")


def present_apr(market: CarryMarket) -> float:
    """What the contract pays now, fraction a year."""
    return apr(market.funding.rate, market.funding.interval_ms)


def _tell(view: Outlook, market: CarryMarket, settings: CarrySettings) -> str:
    days = "never" if view.break_even_days == float("inf") else f"in {view.break_even_days:.1f} days"
    return (
        f"expected {view.careful_apr:.2%} a year over {settings.horizon_days:g} days ({view.expected_apr:.2%} before "
        f"doubt, {_sample(view, market, settings)}), round trip {view.round_trip_rate:.2%} earned back {days}"
    )


def _sample(view: Outlook, market: CarryMarket, settings: CarrySettings) -> str:
    """What an expectation rests on: its n and 95 % interval, or that there is not enough for one."""
    since_ms = market.now_ms - settings.weights().lookback_hours * HOUR_MS
    n = sum(rate.time_ms >= since_ms for rate in market.settled)
    if n < ENOUGH:
        return f"n = {counted(n, 'settlement')}, not enough data for an interval"
    low, high = (view.expected_apr + side * INTERVAL * view.error_apr for side in (-1.0, 1.0))
    return f"n = {counted(n, 'settlement')}, 95 % {low:.2%} to {high:.2%}"
