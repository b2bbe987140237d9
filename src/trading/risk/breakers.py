"""Circuit breakers: what is wrong with the exchange or the clock right now, as rules that refuse entries. Pure.

A breaker opens at a bad reading and stays open until `breaker_rest_s` have passed without one; what is open is kept
with the counters, so a restart does not close it. Closing a position asks no breaker: what is held must always be let
go of.
"""

from __future__ import annotations

from trading.domain.decisions import Decision, Reason
from trading.risk.limits import RiskLimits
from trading.risk.memory import Halt
from trading.risk.pulse import Vitals

MIN_CALLS = 20
"""Fewer make no rate."""


def readings(vitals: Vitals, limits: RiskLimits) -> tuple[Decision, ...]:
    """Every breaker with both numbers, bad or not."""
    rate = vitals.failed / vitals.calls if vitals.calls >= MIN_CALLS else 0.0
    drift_s = abs(vitals.clock_drift_s)
    in_row, calls = vitals.failed_in_row, f"{vitals.failed} of {vitals.calls} calls"
    return (
        _below(Reason.EXCHANGE_HEALTH, in_row, limits.max_failures_in_row, "calls in a row without a usable answer"),
        _below(Reason.ERROR_RATE, rate, limits.max_error_rate_pct / 100, f"{calls} without a usable answer"),
        _below(Reason.LATENCY, vitals.latency_s, limits.max_latency_s, "median seconds to an answer"),
        Decision(
            vitals.limited_for_s <= 0, Reason.RATE_LIMITED, vitals.limited_for_s, 0.0, "seconds to stay away, as told"
        ),
        _below(Reason.CLOCK_DRIFT, drift_s, limits.max_clock_drift_s, "seconds between this clock and the exchange's"),
    )


def open_breakers(tripped: tuple[Halt, ...], limits: RiskLimits, now_ms: int) -> tuple[Decision, ...]:
    """Those whose last bad reading is younger than the rest; one from the future counts as now."""
    return tuple(halt.decision for halt in tripped if now_ms - halt.at_ms < limits.breaker_rest_s * 1000)


def _below(reason: Reason, value: float, limit: float, note: str) -> Decision:
    return Decision(value < limit, reason, float(value), float(limit), note)
