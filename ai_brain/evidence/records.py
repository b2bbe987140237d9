"""Runs, tapes and costs as the records that evidence keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, astuple

from pydantic import JsonValue

from ai_brain.evidence.run import Run
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.verdict import DataUsed, Stretch
from trading.domain.instrument import Bracket
from trading.market.tape import Tape
from trading.simulator.carry_weights import CarryWeights
from trading.simulator.costs import MarketRules

WEIGHED = "decision_"
"""Begins the name of what a carry's decision weighed, beside what it was charged."""


def stretch_told(name: str, run: Run, *, purge_bars: int = 0, holding_bars: int = 0) -> Stretch:
    """A run under its name; the purge and what it is for are of a judged stretch."""
    return Stretch(
        name=name,
        start_ms=run.start_ms,
        end_ms=run.end_ms,
        bars=run.bars,
        entries=run.entries,
        trades=len(run.trades),
        settlements=run.settlements,
        net_return=run.net_return,
        sharpe_annual=run.moments.sharpe * run.bars_per_year**0.5,
        max_drawdown=run.max_drawdown,
        fees_quote=run.fees_quote,
        slippage_quote=run.slippage_quote,
        funding_quote=run.funding_quote,
        left_open=len(run.left_open),
        purge_bars=purge_bars,
        holding_bars=holding_bars,
    )


def data_used(tape: Tape) -> DataUsed:
    """A tape by its name, length and hash."""
    return DataUsed(
        market=str(tape.market),
        symbol=tape.symbol,
        interval=tape.interval,
        origin=tape.origin,
        content_hash=tape.content_hash,
        start_ms=tape.start_ms,
        end_ms=tape.end_ms,
        bars=len(tape),
        missing_bars=sum(gap.missing_bars for gap in tape.gaps),
        settlements=len(tape.funding.time_ms),
    )


def costs_told(conditions: Conditions, *, is_carry: bool) -> dict[str, float]:
    """Every cost that was charged, fractions of notional, by name; of a carry by leg, and what its decision weighed."""
    if not is_carry:
        return asdict(conditions.costs)
    legs = {"spot": conditions.carry_costs.spot, "perp": conditions.carry_costs.perp}
    charged = {f"{leg}_{name}": value for leg, costs in legs.items() for name, value in asdict(costs).items()}
    weights = conditions.carry_costs.weights._asdict()
    return {**charged, **{f"{WEIGHED}{name}": float(value) for name, value in weights.items()}}


def weights_of(told: Mapping[str, float]) -> CarryWeights:
    """What the decision weighed, of `costs_told`; evidence from before it was kept: the defaults."""
    weights = CarryWeights()
    kept = {name: told.get(WEIGHED + name, value) for name, value in weights._asdict().items()}
    return CarryWeights(**kept)


def rules_told(rules: MarketRules) -> dict[str, JsonValue]:
    """The venue's steps, minimums and margin table; a bracket is a row of `Bracket`'s fields."""
    plain: dict[str, JsonValue] = {name: value for name, value in asdict(rules).items() if name != "brackets"}
    return {**plain, "brackets": [list(astuple(bracket)) for bracket in rules.brackets]}


def rules_of(told: dict[str, JsonValue]) -> MarketRules:
    """What `rules_told` told; evidence from before margin tables were kept has none.

    Raises:
        SettingsError: a value no venue asks.
    """
    plain = dict(told)
    rows = plain.pop("brackets", [])
    brackets = tuple(Bracket(*row) for row in rows) if isinstance(rows, list) else ()  # type: ignore[misc]  # as rules_told wrote them
    return MarketRules(**plain, brackets=brackets)  # type: ignore[arg-type]  # numbers; the class checks them
