"""Reasons to drop an idea before its performance is computed. They cost no trial; prefer them.

Nothing here may look at what a strategy would have earned: only at the spec, at the market's own movement, and at how
often the rules could speak at all.
"""

from __future__ import annotations

import numpy as np

from ai_brain.evidence.findings import at_least, at_most, refusal
from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.power import power_sentence
from ai_brain.evidence.verdict import Finding, Power
from ai_brain.evidence.windows import Window
from trading.domain.market import YEAR_MS
from trading.market.funding_schedule import Lack, missing_settlements
from trading.market.tape import Tape
from trading.simulator.costs import Costs
from trading.simulator.simulate import signals
from trading.strategy.spec import CarryParameters, RuleParameters


def of_memory(refused_before: str | None) -> list[Finding]:
    """The same parameters lie in the graveyard already; the finding tells with what reason."""
    if refused_before is None:
        return []
    return [refusal(GateReason.ALREADY_REFUSED, f"The same parameters were refused before, {refused_before}.")]


def of_behaviour(refused_before: str | None) -> list[Finding]:
    """Something that does the same bar for bar lies in the graveyard already, in whatever words."""
    if refused_before is None:
        return []
    note = f"On the probe market it does, bar for bar, what was refused before, {refused_before}."
    return [refusal(GateReason.ALREADY_REFUSED, note)]


def of_twin(name: str | None) -> list[Finding]:
    """Another spec of the same search does the same bar for bar, in other words."""
    if name is None:
        return []
    return [
        refusal(GateReason.DUPLICATE, f"On the probe market it does, bar for bar, what {name!r} of this search does.")
    ]


def of_length(bars: int, settings: GateSettings) -> list[Finding]:
    """A tape too short to be cut in two says nothing."""
    note = f"{bars} bars, {settings.min_bars} are needed{_remedy(bars >= settings.min_bars)}"
    return [at_least(GateReason.DATA_TOO_SHORT, bars, settings.min_bars, note)]


def of_power(power: Power, settings: GateSettings, *, bars_per_year: float) -> list[Finding]:
    """What the tape could prove lies above what would be believed: then no search of it can find anything."""
    needed = power.provable_sharpe_annual
    if needed is not None and needed <= settings.max_sharpe_annual:
        return []
    note = (
        f"{power_sentence(power, bars_per_year=bars_per_year)} Above {settings.max_sharpe_annual:g} a result is taken "
        "for a bug, so nothing can be proven here; fetch more history."
    )
    return [refusal(GateReason.NOTHING_PROVABLE, note)]


def of_complexity(parameters: RuleParameters, settings: GateSettings) -> list[Finding]:
    """More conditions fit more noise."""
    rules = len(parameters.conditions)
    note = f"{rules} rules, at most {settings.max_conditions}."
    return [at_most(GateReason.TOO_COMPLEX, rules, settings.max_conditions, note)]


def of_signals(before: Tape, parameters: RuleParameters, settings: GateSettings) -> list[Finding]:
    """Fewer bars on which the rules could open than trades needed: it can never be shown on this tape."""
    found = signals(before, parameters)
    count = int(np.count_nonzero(found.entry_long | found.entry_short))
    note = f"The rules could open on {count} bars before the vault, {settings.min_trades} trades are needed."
    return [at_least(GateReason.TOO_FEW_SIGNALS, count, settings.min_trades, note)]


def of_move(searched: Tape, parameters: RuleParameters, costs: Costs, settings: GateSettings) -> list[Finding]:
    """What a trade may expect to move against what it costs to open and close.

    The expected move is the take-profit where there is one, else the market's own volatility over the longest holding
    time; a spec with neither is not asked.
    """
    move = _expected_move_fraction(searched, parameters)
    if move is None:
        return []
    round_trip = 2.0 * (costs.taker_rate + costs.half_spread_rate)
    needed = settings.min_move_to_cost * round_trip
    note = f"A trade may expect a move of {move:.3%}, opening and closing costs {round_trip:.3%}."
    return [at_least(GateReason.MOVE_BELOW_COST, move, needed, note)]


def of_funding(perp: Tape, parameters: CarryParameters, before: Window, settings: GateSettings) -> list[Finding]:
    """A carry needs settlements to be judged by, and a rate that ever reaches its entry."""
    stop_ms = int(perp.open_time_ms[before.stop - 1]) + perp.interval_ms
    settled = int(np.count_nonzero(perp.funding.time_ms <= stop_ms))
    enough = at_least(
        GateReason.DATA_TOO_SHORT,
        settled,
        settings.min_settlements,
        f"{settled} settlements before the vault, {settings.min_settlements} are needed"
        f"{_remedy(settled >= settings.min_settlements)}",
    )
    if not enough.passed:
        return [enough]
    apr = perp.funding.rate[:settled] * (YEAR_MS / float(np.median(np.diff(perp.funding.time_ms))))
    reached = int(np.count_nonzero(apr >= parameters.entry_apr_fraction))
    note = f"{reached} of {len(apr)} settled rates reach the entry of {parameters.entry_apr_fraction:.1%} a year."
    return [enough, at_least(GateReason.TOO_FEW_SIGNALS, reached, 1, note)]


def of_settlements(perp: Tape) -> list[Finding]:
    """A settlement that is not recorded would be stepped over as a payment of zero: then a carry is not judged at all.

    What lies before the first recorded one does no harm: without an expectation nothing is entered.
    """
    missing = missing_settlements(perp.funding, perp.start_ms, perp.end_ms)
    lost = [settlement for settlement in missing if settlement.lack in (Lack.HOLE, Lack.AFTER)]
    if not lost:
        return []
    note = (
        f"Settlements of {perp.symbol} missing: {len(lost)}, the first at {lost[0]}. A carry lives on them: fetch "
        "them, or choose a stretch that has all of its own."
    )
    return [refusal(GateReason.DATA_MISSING, note)]


def _remedy(is_enough: bool) -> str:
    """The end of a sentence: what to do, where something is to be done."""
    return "." if is_enough else "; fetch more history."


def _expected_move_fraction(tape: Tape, parameters: RuleParameters) -> float | None:
    risk = parameters.risk
    if risk.take_profit_atr is not None:
        before = np.concatenate((tape.open[:1], tape.close[:-1]))
        highest, lowest = np.maximum(tape.high, before), np.minimum(tape.low, before)
        return risk.take_profit_atr * float(np.median((highest - lowest) / tape.close))
    if risk.max_hold_bars is not None:
        return float(np.std(np.diff(np.log(tape.close)))) * float(np.sqrt(risk.max_hold_bars))
    return None
