"""All charts of a piece of evidence, in the order of the page; where one cannot be drawn, why."""

from __future__ import annotations

from collections.abc import Sequence

from ai_brain.evidence.charts.chart import Chart, LeftOut
from ai_brain.evidence.charts.of_chance import null_chart, power_chart
from ai_brain.evidence.charts.of_record import Record, drawdown_chart, equity_chart, rolling_chart
from ai_brain.evidence.charts.of_trades import cost_chart, months_chart
from ai_brain.evidence.curve import Curve
from ai_brain.evidence.run import TradeLine
from ai_brain.evidence.verdict import Evidence
from trading.domain.market import bars_per_year
from trading.strategy.spec import StrategyType

MIN_ROLLING = 6
"""Bars of the shortest record that has a rolling Sharpe ratio."""
OF_CARRY = "A carry's small steady payments are no matter of the same hurdle."


def gallery(evidence: Evidence, curve: Curve | None, trades: Sequence[TradeLine]) -> tuple[Chart | LeftOut, ...]:
    """Every chart or the reason that it is not there.

    Args:
        evidence: What was judged.
        curve: Equity bar by bar; None: it was not kept.
        trades: Of the judged stretches.
    """
    interval = evidence.data[0].interval if evidence.data else None
    return (*_of_record(evidence, curve, interval), *_of_trades(trades), *_of_chance(evidence, interval))


def _of_record(evidence: Evidence, curve: Curve | None, interval: str | None) -> Sequence[Chart | LeftOut]:
    if curve is None or interval is None:
        why = "It has no curve: it was never looked at, or was judged before curves were kept."
        return [LeftOut(title, why) for title in ("Equity", "Drawdown", "Rolling Sharpe")]
    record = Record(curve, interval, evidence.starting_quote, seed=int(evidence.spec_sha256[:16], 16))
    if len(curve) < MIN_ROLLING:
        rolling: Chart | LeftOut = LeftOut("Rolling Sharpe", f"{len(curve)} bars are too few to roll over.")
    else:
        rolling = rolling_chart(record)
    return [equity_chart(record), drawdown_chart(record), rolling]


def _of_trades(trades: Sequence[TradeLine]) -> Sequence[Chart | LeftOut]:
    if not trades:
        return [LeftOut(title, "It has no judged trade.") for title in ("Cost split", "Trades a month")]
    return [cost_chart(trades), months_chart(trades)]


def _of_chance(evidence: Evidence, interval: str | None) -> Sequence[Chart | LeftOut]:
    luck: Chart | LeftOut = LeftOut("Luck alone", "It was refused before its significance was computed.")
    is_carry = evidence.family == StrategyType.FUNDING_CARRY
    power: Chart | LeftOut = LeftOut("Power", OF_CARRY if is_carry else "It was refused before that was asked.")
    if interval is None:
        return [luck, power]
    per_year = bars_per_year(interval)
    if evidence.statistics is not None:
        luck = null_chart(evidence.statistics, bars_per_year=per_year)
    if evidence.power is not None:
        power = power_chart(evidence.power, bars_per_year=per_year)
    return [luck, power]
