"""The simulator's third witness: the same orders, sent over the wire while the sandbox exchange replays the same tape.

The sandbox is written from the venue's protocol and shares no line with the simulator. The simulator is told no spread
and no impact; what the exchange's book takes must then be the whole difference of every market order.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import numpy as np

from sandbox.exchange.instruments import Market as Venue
from sandbox.exchange.instruments import instrument
from tests.conftest import DATA, needs_data
from tests.sandbox.exchange.conftest import DAY_ONE_MS, HOUR_MS, walk
from tests.sandbox.exchange.replay import Replay, Taken, replaying
from trading.domain.instrument import Market
from trading.market.importers import import_recorded
from trading.market.tape import Funding, Tape, make_tape
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.records import Acted
from trading.simulator.simulate import Result, rule_parameters, signals, simulate
from trading.strategy.spec import (
    Origin,
    RiskParameters,
    RuleParameters,
    SpecMarket,
    StrategySpec,
    StrategyType,
    new_spec,
)

TICK, LOT = 0.1, 0.001
TAKER, MAKER = 0.0005, 0.0002
STOP_ATR, TARGET_ATR = 1.1, 1.3
COSTS = Costs(TAKER, MAKER, half_spread_rate=0.0, impact_k=0.0)
RULES = MarketRules(tick=TICK, lot=LOT, min_notional=100.0, maintenance_rate=0.004)
SAME = "same"
ROUNDING = 1e-6  # quote
"""What two amounts may differ by: the exchange rounds every fee and every settlement to 1e-8."""


class Rule(StrEnum):
    """Why a number differs."""

    BOOK = "rule 12: a market order walks the venue's book; the simulator, told no spread, fills at its reference"
    STOP_FIRST = "rule 6: stop and target in one bar: our stop came first; on the venue's path the target did"


@dataclass(frozen=True, slots=True)
class Theirs:
    """One of our trades as the exchange did it."""

    entry: Taken
    leaving: Taken | None
    """The market order that closed it; None: the resting target did."""
    exit_price: Decimal
    exit_fee: Decimal
    exit_ms: int
    funding: Decimal
    earned: Decimal
    """What the wallet gained from before the entry until after the exit."""


def strategy() -> StrategySpec:
    """Crosses of two averages, both sides, that leave in every way there is."""
    risk = RiskParameters(
        position_pct=40.0, stop_loss_atr=STOP_ATR, take_profit_atr=TARGET_ATR, max_hold_bars=4, leverage=1
    )
    rules = RuleParameters(
        entry_long=("ema(2) crosses_above ema(5)",),
        entry_short=("ema(2) crosses_below ema(5)",),
        exit_long=("rsi(4) > 75",),
        exit_short=("rsi(4) < 25",),
        risk=risk,
    )
    market = SpecMarket(exchange="binance", symbol="BTC/USDT:USDT", timeframe="1h")
    return new_spec("witnessed", StrategyType.MOMENTUM, market, rules, Origin(author="test"), DAY_ONE_MS)


def made_bars(seed: int) -> np.ndarray:
    """500 hours that also jump from close to open, on the tick."""
    rng = np.random.default_rng(seed)
    bars = walk(DAY_ONE_MS, HOUR_MS, 500, seed=seed, price=42_000.0, tick=TICK)
    jumps = np.round(rng.normal(0.0, 40.0, 500) * (rng.random(500) < 0.3), 1)
    bars[1] = (bars[1] + jumps).round(1)
    bars[2], bars[3] = bars[1:5].max(axis=0), bars[1:5].min(axis=0)
    bars[5] *= 40.0
    return bars


def made_funding(first_ms: int, hours: int) -> np.ndarray:
    """Every 8 h, then 4 h, then each hour, with rates of both signs."""
    at = np.r_[np.arange(0, hours // 2, 8), np.arange(hours // 2, 3 * hours // 4, 4), np.arange(3 * hours // 4, hours)]
    rates = np.random.default_rng(7).normal(1e-4, 3e-4, len(at)).round(8)
    return np.vstack((first_ms + at * float(HOUR_MS), rates))


def tape_of(bars: np.ndarray, funding: np.ndarray) -> Tape:
    """The lab's own tape of the same numbers; no mark prices, so both sides settle at the hour's open."""
    flows = Funding(funding[0].astype(np.int64), funding[1], np.full(funding.shape[1], np.nan))
    return make_tape(
        Tape(Market.PERP, "BTCUSDT", "1h", "synthetic", bars[0].astype(np.int64), *bars[1:], flows, (), "")
    )


def levels_of(tape: Tape, trade: np.void) -> tuple[float, float]:
    """Stop and target of a trade, once more from rules 5 and 8."""
    atr = signals(tape, rule_parameters(strategy())).atr[trade["entry_bar"] - 1]
    side, fill = int(trade["side"]), float(trade["entry_price"])
    ticks = (fill + side * TARGET_ATR * atr) / TICK
    target = (np.ceil(ticks - 1e-6) if side > 0 else np.floor(ticks + 1e-6)) * TICK
    return fill - side * STOP_ATR * atr, round(float(target), 1)


def with_close_calls(bars: np.ndarray, funding: np.ndarray) -> np.ndarray:
    """The bars, changed one by one: every second target only just touched, and behind half of the stops the target too.

    What a bar becomes depends on earlier bars only, so nothing done before is undone.
    """
    changed, done, at = bars.copy(), 0, 0
    while True:
        tape = tape_of(changed, funding)
        ends = simulated(tape).trades
        ends = ends[(ends["exit_bar"] > at) & np.isin(ends["reason"], (Acted.TAKE_PROFIT, Acted.STOP))]
        if not len(ends):
            return changed
        at, side, done = int(ends[0]["exit_bar"]), int(ends[0]["side"]), done + 1
        _, target = levels_of(tape, ends[0])
        best, body = (2 if side > 0 else 3), changed[[1, 4], at]
        if ends[0]["reason"] == Acted.STOP and done % 2:
            changed[best, at] = round(side * max(side * target + 2.0, side * changed[best, at]), 1)
        elif ends[0]["reason"] == Acted.TAKE_PROFIT and done % 2 and (side * (body - target) <= 0.0).all():
            changed[best, at] = target


def touches(tape: Tape, result: Result) -> int:
    """Bars whose extreme was exactly the target of the trade that was held."""
    return sum(
        int((((tape.high if trade["side"] > 0 else tape.low)[held]).round(1) == levels_of(tape, trade)[1]).sum())
        for trade in result.trades
        for held in [slice(trade["entry_bar"], trade["exit_bar"] + 1)]
    )


def simulated(tape: Tape) -> Result:
    """What the lab says."""
    return simulate(tape, strategy(), costs=COSTS, rules=RULES, starting_quote=50_000.0)


async def sent(exchange: Replay, tape: Tape, trade: np.void) -> Theirs:
    """One trade's orders, each at its moment: entry at the open, the target rests, then whatever ended it."""
    side, quantity = int(trade["side"]), f"{trade['quantity']:.3f}"
    entry_ms, exit_ms = (int(tape.open_time_ms[trade[name]]) for name in ("entry_bar", "exit_bar"))
    _, target = levels_of(tape, trade)
    await exchange.go(entry_ms)
    before = await exchange.wallet()
    entry = await exchange.market(side, quantity, reduce_only=False)
    resting = await exchange.rest(-side, quantity, f"{target:.1f}")
    leaving = None
    if not await _met(exchange, tape, trade, resting):
        await exchange.cancel(resting)
        await exchange.go(max(exit_ms, exchange.now_ms))
        leaving = await exchange.market(-side, quantity, reduce_only=True)
    price, fee, ms = await exchange.executed(leaving.order if leaving else resting)
    funding = await exchange.income("FUNDING_FEE", entry_ms + 1)
    return Theirs(entry, leaving, price, fee, ms, funding, await exchange.wallet() - before)


async def _met(exchange: Replay, tape: Tape, trade: np.void, resting: int) -> bool:
    """Let the tape run to where the simulator's trade ends: has the exchange filled the resting target by then?

    A rule exit takes the target back when the close has decided, before the open.
    """
    exit_ms = int(tape.open_time_ms[trade["exit_bar"]])
    end_ms = exit_ms + HOUR_MS - 1
    if trade["reason"] == Acted.TAKE_PROFIT:
        await exchange.go(end_ms)
    elif trade["reason"] == Acted.STOP:
        stop, _ = levels_of(tape, trade)
        touched_ms = exchange.feed.first_beyond(exit_ms, end_ms, stop, below=bool(trade["side"] > 0))
        assert touched_ms is not None, "the path goes where the bar went"
        await exchange.go(int(np.ceil(touched_ms)))
    else:
        await exchange.go(exit_ms - 1)
    return await exchange.is_filled(resting)


def explained_by(tape: Tape, trade: np.void, theirs: Theirs) -> dict[str, Rule | None]:
    """What differs between a trade and the exchange's, and the rule that says why; None: no rule does."""
    found = {
        "entry price": _market_order(float(trade["entry_price"]), float(tape.open[trade["entry_bar"]]), theirs.entry,
                                     int(trade["side"])),
        "exit": _exit(tape, trade, theirs),
        "amounts": _amounts(trade, theirs),
    }  # fmt: skip
    return {name: why for name, why in found.items() if why != SAME}


def _market_order(ours: float, reference: float, theirs: Taken, sign: int) -> str | Rule | None:
    """Ours is the reference; theirs is what the published book gave, and the reference lay inside its spread."""
    inside = float(theirs.bids[0][0]) - TICK <= reference <= float(theirs.asks[0][0]) + TICK
    if abs(ours - reference) > ROUNDING or not inside or abs(theirs.price - theirs.walked(sign)) > Decimal("1e-9"):
        return None
    return SAME if abs(float(theirs.price) - ours) < ROUNDING else Rule.BOOK


def _exit(tape: Tape, trade: np.void, theirs: Theirs) -> str | Rule | None:
    """The same bar, and the price of the same reason; or a target that was met before the stop."""
    bar, side, ours = int(trade["exit_bar"]), int(trade["side"]), float(trade["exit_price"])
    stop, target = levels_of(tape, trade)
    opened, best, worst = float(tape.open[bar]), float(tape.high[bar]), float(tape.low[bar])
    if side < 0:
        best, worst = worst, best
    if int(np.searchsorted(tape.open_time_ms, theirs.exit_ms, side="right")) - 1 != bar:
        return None
    at_target = theirs.leaving is None and abs(float(theirs.exit_price) - target) < ROUNDING
    if trade["reason"] == Acted.TAKE_PROFIT:
        return SAME if at_target and abs(ours - target) < ROUNDING else None
    if theirs.leaving is None:
        both_inside = side * (best - target) >= TICK * 0.999 and side * (worst - stop) <= 0.0
        return Rule.STOP_FIRST if at_target and both_inside and trade["reason"] == Acted.STOP else None
    reference = opened
    if trade["reason"] == Acted.STOP:
        reference = side * min(side * stop, side * opened)
    return _market_order(ours, reference, theirs.leaving, -side)


def _amounts(trade: np.void, theirs: Theirs) -> str | None:
    """Size, fees at the same rates, funding, and a wallet that moved by our result less what the prices explain."""
    side, quantity = int(trade["side"]), float(trade["quantity"])
    paid = float(theirs.entry.fee + theirs.exit_fee)
    exit_rate = TAKER if theirs.leaving is not None else MAKER
    due = quantity * (float(theirs.entry.price) * TAKER + float(theirs.exit_price) * exit_rate)
    our_rate = MAKER if trade["reason"] == Acted.TAKE_PROFIT else TAKER
    our_due = quantity * (trade["entry_price"] * TAKER + trade["exit_price"] * our_rate)
    better = (
        side * quantity * (float(theirs.exit_price - theirs.entry.price) - trade["exit_price"] + trade["entry_price"])
    )
    agrees = (
        abs(float(theirs.entry.quantity) - quantity) < LOT / 1000
        and abs(paid - due) < ROUNDING
        and abs(trade["fees"] - our_due) < ROUNDING
        and abs(trade["funding"] - float(theirs.funding)) < ROUNDING
        and abs(trade["pnl"] + better - (paid - trade["fees"]) - float(theirs.earned)) < ROUNDING
    )
    return SAME if agrees else None


async def witnessed(folder: Path, bars: np.ndarray, funding: np.ndarray) -> tuple[Result, Counter[str]]:
    """Every trade of the simulator sent to the exchange: the result, and how often what differed and why.

    Fails on a difference that no rule explains.
    """
    tape, counted = tape_of(bars, funding), Counter[str]()
    result = simulated(tape)
    async with replaying(folder, bars, funding) as exchange:
        for trade in result.trades:
            theirs = await sent(exchange, tape, trade)
            found = explained_by(tape, trade, theirs)
            assert None not in found.values(), f"{trade.dtype.names} {trade}: {found}: {theirs}"
            counted["equal" if not found else "explained"] += 1
            counted.update(f"{name}: {rule}" for name, rule in found.items())
    return result, counted


async def test_the_exchange_fills_every_order_as_the_simulator_did_but_for_the_book(tmp_path: Path) -> None:
    funding = made_funding(DAY_ONE_MS, 500)
    bars = with_close_calls(made_bars(11), funding)
    result, counted = await witnessed(tmp_path, bars, funding)
    reasons = {Acted(r).name for r in result.trades["reason"]}
    assert reasons == {"EXIT_RULE", "MAX_HOLD", "OPPOSITE", "STOP", "TAKE_PROFIT"}
    assert touches(tape_of(bars, funding), result) >= 3
    assert counted[f"exit: {Rule.STOP_FIRST}"] >= 3
    assert np.count_nonzero(result.trades["funding"]) > 20


@needs_data
async def test_so_it_does_over_recorded_hours(tmp_path: Path) -> None:
    first_ms = 1_688_169_600_000
    tape = import_recorded(DATA, Market.PERP, "BTCUSDT", "1h", first_ms, first_ms + 300 * HOUR_MS)
    bars = np.vstack((tape.open_time_ms, tape.open, tape.high, tape.low, tape.close, tape.volume_base))
    result, counted = await witnessed(tmp_path, bars, np.vstack((tape.funding.time_ms, tape.funding.rate)))
    assert len(result.trades) == 62
    assert counted["explained"] == counted[f"entry price: {Rule.BOOK}"] == 62


def test_the_two_sides_read_the_same_filters_of_the_venue() -> None:
    spec = instrument(Venue.PERP, "BTCUSDT")
    assert (float(spec.tick), float(spec.lot), float(spec.min_notional)) == (TICK, LOT, RULES.min_notional)
