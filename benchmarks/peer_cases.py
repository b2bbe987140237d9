"""What the lab and its peers are asked to do, and on which recorded stretches."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from trading.domain.instrument import Market
from trading.market.importers import import_recorded
from trading.market.tape import Funding, Tape, make_tape
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.simulate import Result, simulate
from trading.strategy.spec import (
    Origin,
    RiskParameters,
    RuleParameters,
    SpecMarket,
    StrategySpec,
    StrategyType,
    new_spec,
)

DATA = Path(os.environ.get("LAB_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
LOT = 2.0**-26
"""Base. A power of two, so that backtesting's whole units scale prices without rounding."""
RULES = MarketRules(tick=0.01, lot=LOT, min_notional=0.0, maintenance_rate=0.0, liquidation_fee_rate=0.0)
START_QUOTE = 10_000.0
MARCH_MS = (1_709_251_200_000, 1_711_929_600_000)
"""March 2024, with the high of the year."""
HALF_DAY_MS = 43_200_000


@dataclass(frozen=True, slots=True)
class Case:
    """One strategy and what it costs."""

    name: str
    tape: str
    """One of `tapes`."""
    peers: tuple[str, ...] = ("vectorbt", "backtesting")
    both_sides: bool = False
    pct: float = 50.0
    stop_atr: float | None = None
    target_atr: float | None = None
    max_hold_bars: int | None = None
    half_spread_rate: float = 0.0
    fee_rate: float = 0.001


CASES = (
    Case("long, fees", "hours"),
    Case("long, fees and slippage", "hours", half_spread_rate=0.0005),
    Case("long, the whole wallet", "hours", peers=("vectorbt",), pct=100.0, half_spread_rate=0.0005),
    Case("long and short, fees and slippage", "hours", both_sides=True, half_spread_rate=0.0005),
    Case("long, stop and target", "hours", stop_atr=2.0, target_atr=3.0, half_spread_rate=0.0005),
    Case("long, narrow stop and target", "hours", stop_atr=0.5, target_atr=0.5),
    Case("long and short, stop and target", "hours", both_sides=True, stop_atr=2.0, target_atr=3.0),
    Case("long, time limit", "hours", peers=("backtesting",), max_hold_bars=12),
    # backtesting refuses a target that the close before a jump has passed: it cannot be told these.
    Case("days, long, stop and target", "days", ("vectorbt",), stop_atr=1.0, target_atr=1.0, half_spread_rate=0.0005),
    Case("days, long and short, stop and target", "days", ("vectorbt",), both_sides=True, stop_atr=1.0, target_atr=1.0),
    Case("minutes, long, fees and slippage", "minutes", half_spread_rate=0.0001),
    Case("minutes, long and short, stop and target", "minutes", both_sides=True, stop_atr=3.0, target_atr=3.0,
         half_spread_rate=0.0001),
)  # fmt: skip


def tapes(folder: Path) -> dict[str, Tape]:
    """The recorded stretches the cases name: spot hours, the same without their nights, and the minutes of a month.

    A market that never closes hardly ever opens beyond a stop; with half of each day left out it does every week.
    """
    hours = import_recorded(folder, Market.SPOT, "BTCUSDT", "1h")
    by_day = hours.open_time_ms // HALF_DAY_MS % 2 == 1
    names = ("open_time_ms", "open", "high", "low", "close", "volume_base")
    days = make_tape(replace(hours, gaps=(), content_hash="", **{name: getattr(hours, name)[by_day] for name in names}))
    return {
        "hours": hours,
        "days": days,
        "minutes": import_recorded(folder, Market.SPOT, "BTCUSDT", "1m", *MARCH_MS),
    }


def market_of(case: Case, tape: Tape) -> Tape:
    """The tape itself; its bars as a perpetual's without funding where the case sells short."""
    return make_tape(replace(tape, market=Market.PERP, funding=Funding.none())) if case.both_sides else tape


def spec_of(case: Case, tape: Tape) -> StrategySpec:
    """The EMA cross of a case as the lab's own spec."""
    up, down = ("ema(12) crosses_above ema(26)",), ("ema(12) crosses_below ema(26)",)
    lists = {"entry_long": up, "exit_long": () if case.both_sides else down}
    risk = RiskParameters(
        position_pct=case.pct,
        stop_loss_atr=case.stop_atr,
        take_profit_atr=case.target_atr,
        max_hold_bars=case.max_hold_bars or 10_000,
    )
    if case.both_sides:
        lists["entry_short"] = down
    symbol = "BTC/USDT:USDT" if case.both_sides else "BTC/USDT"
    market = SpecMarket(exchange="binance", symbol=symbol, timeframe=tape.interval)
    return new_spec(
        case.name, StrategyType.MOMENTUM, market, RuleParameters(**lists, risk=risk), Origin(author="peers"), 0
    )


def lab_result(case: Case, tape: Tape) -> Result:
    """What the lab makes of a case; `tape` is `market_of` it."""
    costs = Costs(case.fee_rate, case.fee_rate, half_spread_rate=case.half_spread_rate, impact_k=0.0)
    return simulate(tape, spec_of(case, tape), costs=costs, rules=RULES, starting_quote=START_QUOTE)
