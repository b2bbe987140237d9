"""The traps that earlier systems fell into, one test each: the simulator or the gate answers, with the right reason."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from ai_brain.evidence import rule_run
from ai_brain.evidence.carry_run import run_carry
from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.gate_reasons import QUARANTINE, GateReason
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.rule_run import run_rules
from ai_brain.evidence.run import Run
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.verdict import Evidence, Stretch, Verdict
from ai_brain.research_library import library_specs
from tests.ai_brain.gate import judged
from tests.ai_brain.markets import START_MS, noise, planted, rule_spec, tape_of
from tests.conftest import DATA, needs_data
from trading.domain.errors import DataProviderError, StateFileError
from trading.domain.instrument import Market
from trading.market.importers import import_recorded
from trading.market.synthetic import Plan, synthetic_market
from trading.market.tape import Tape, make_tape
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.simulate import simulate
from trading.storage.home import Home
from trading.strategy.spec import CarryParameters, RiskParameters, RuleParameters, StrategySpec

CONDITIONS = Conditions(MarketRules())
FREE = Conditions(MarketRules(), costs=Costs(0.0, 0.0, 0.0, 0.0))
ERRORS_ALLOWED = 4.0
"""Standard errors that a result without an edge may lie from its costs."""
LIBRARY = library_specs("BTCUSDT", START_MS)
YEAR = Plan(bars=8760, seed=2)


def failed(evidence: Evidence) -> set[GateReason]:
    return {finding.reason for finding in evidence.findings if not finding.passed}


def chain(evidence: Evidence) -> Stretch:
    told = evidence.stretch("walk-forward")
    assert told is not None
    return told


def martingale(bars: int, seed: int) -> Tape:
    """Prices whose next change is zero on average whatever is known: steps are of the price, not of its logarithm."""
    steps = np.random.default_rng(seed).normal(0.0, 0.006, bars)
    return tape_of(30_000.0 * np.cumprod(1.0 + steps))


ALL_BAR = RiskParameters(position_pct=20.0, max_hold_bars=1)
CLAIRVOYANT = (
    RuleParameters(entry_long=("close > close[1]",), risk=ALL_BAR),
    RuleParameters(entry_short=("close < open",), risk=ALL_BAR),
    RuleParameters(entry_long=("close > close[1]",), entry_short=("close < close[1]",), risk=ALL_BAR),
    RuleParameters(
        entry_long=("roc(1) > 0.5",), exit_long=("roc(1) < 0",), risk=RiskParameters(position_pct=20.0, max_hold_bars=9)
    ),
)
"""Each would win on nearly every trade, were it filled at the open of the bar that made it decide."""


@pytest.mark.parametrize("rules", CLAIRVOYANT, ids=lambda rules: " ".join((*rules.entry_long, *rules.entry_short)))
def test_a_rule_that_would_win_by_looking_ahead_loses_its_costs_on_a_random_walk(rules: RuleParameters) -> None:
    costs = Costs(taker_rate=0.001, half_spread_rate=0.00005, impact_k=0.0)
    beyond_costs, squares = 0.0, 0.0
    for seed in range(8):
        tape = martingale(4000, seed)
        spec = rule_spec().model_copy(update={"parameters": rules})
        trades = simulate(tape, spec, costs=costs, rules=MarketRules()).trades
        entry, leave, held = trades["entry_bar"], trades["exit_bar"], trades["side"] * trades["quantity"]
        assert len(trades) > 250
        by_hand = (trades["quantity"] * (tape.open[entry] + tape.open[leave])).sum() * (0.001 + 0.00005)
        moves = held * (tape.open[leave] - tape.open[entry])
        error = float(np.sqrt((moves**2).sum()))
        net = float(trades["pnl"].sum())
        assert net < -by_hand + ERRORS_ALLOWED * error < 0.0
        assert net > -by_hand - ERRORS_ALLOWED * error
        ahead = held * (tape.open[leave - 1] - tape.open[entry - 1])
        assert ahead.sum() > by_hand + ERRORS_ALLOWED * error, "it is no rule that looking ahead would pay for"
        beyond_costs, squares = beyond_costs + net + by_hand, squares + error**2
    assert abs(beyond_costs) < ERRORS_ALLOWED * np.sqrt(squares)


@pytest.mark.parametrize("spec", LIBRARY, ids=lambda spec: spec.name)
def test_doubling_all_costs_makes_every_result_of_the_library_worse(spec: StrategySpec) -> None:
    made = synthetic_market(YEAR)

    def run(conditions: Conditions) -> Run:
        if isinstance(spec.parameters, CarryParameters):
            return run_carry(spec, made.spot, made.perp, conditions)
        return run_rules(spec, made.perp, conditions)

    once, twice = run(CONDITIONS), run(CONDITIONS.dear())
    assert once.entries > 0
    assert twice.fees_quote > once.fees_quote > 0.0
    assert twice.slippage_quote > once.slippage_quote > 0.0
    assert twice.net_return < once.net_return


@pytest.mark.parametrize(
    ("market", "side", "net_return"), [(Market.PERP, 1, -0.5), (Market.SPOT, 1, -0.5), (Market.PERP, -1, 0.5)]
)
def test_from_one_hundred_to_fifty_is_half_lost_by_who_bought_and_half_won_by_who_sold(
    market: Market, side: int, net_return: float
) -> None:
    # tape_of opens where the bar before closed: in at the open after the first close at 100, out at the one after 50.
    tape = tape_of(np.array([101.0] * 4 + [100.0] * 5 + [50.0] * 5), market=market)
    enter, leave = ("close crosses_below 100.5",), ("close < 60",)
    rules = {"entry_long": enter, "exit_long": leave} if side > 0 else {"entry_short": enter, "exit_short": leave}
    risk = RiskParameters(position_pct=100.0, leverage=1, max_hold_bars=500)
    spec = rule_spec()
    if market is Market.SPOT:
        spec = spec.model_copy(update={"market": spec.market.model_copy(update={"symbol": "BTC/USDT"})})
    spec = spec.model_copy(update={"parameters": RuleParameters(**rules, risk=risk)})
    run = run_rules(spec, tape, FREE)
    (trade,) = run.trades
    assert (trade.side, trade.entry_price, trade.exit_price, trade.reason) == (side, 100.0, 50.0, "EXIT_RULE")
    assert abs(run.net_return - net_return) < 1e-12
    assert abs(run.max_drawdown - (0.5 if side > 0 else 0.0)) < 1e-12


def test_a_market_that_never_lets_it_trade_is_a_refusal(bench: Bench) -> None:
    too_dear = replace(CONDITIONS, rules=MarketRules(min_notional=1e9))
    evidence = judged(rule_spec(), Tapes(planted(6000, 1, edge=0.006), too_dear), bench).evidence
    assert (evidence.verdict, evidence.deciding) == (Verdict.REJECTED, GateReason.NO_TRADES)


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume_base"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_a_tape_with_a_number_that_is_none_is_refused_at_the_door(column: str, value: float) -> None:
    tape = noise(600, 1)
    broken = getattr(tape, column).copy()
    broken[300] = value
    with pytest.raises(DataProviderError, match=rf"{column.removesuffix('_base')}\w*\[300\]"):
        make_tape(replace(tape, **{column: broken}))


def test_an_error_inside_the_test_is_a_refusal_and_buries_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tapes = Tapes(planted(6000, 1, edge=0.006), CONDITIONS)
    wrong_market = Tapes(make_tape(replace(tapes.main, symbol="ETHUSDT")), CONDITIONS)
    evidence = judged(rule_spec(), wrong_market, bench).evidence
    assert (evidence.verdict, evidence.deciding) == (Verdict.REJECTED, GateReason.ERROR)
    assert "ETHUSDT" in evidence.findings[-1].note

    def broken(*args: object, **kwargs: object) -> object:
        result = original(*args, **kwargs)  # type: ignore[arg-type]
        equity = result.equity.copy()
        equity[100] = np.nan
        return replace(result, equity=equity)

    original = rule_run.simulate
    monkeypatch.setattr(rule_run, "simulate", broken)
    evidence = judged(rule_spec(), tapes, bench).evidence
    assert (evidence.verdict, evidence.deciding) == (Verdict.REJECTED, GateReason.ERROR)
    assert "returns[100]=nan" in evidence.findings[-1].note
    assert bench.graveyard.count_by_reason() == {}


def test_a_ledger_that_cannot_be_written_raises_and_nothing_is_judged(bench: Bench, home: Home) -> None:
    with closing(sqlite3.connect(home.learning_db)) as other, other:
        other.execute("DROP TABLE trials")
    with pytest.raises(StateFileError, match="no such table: trials"):
        judged(rule_spec(), Tapes(planted(6000, 1, edge=0.006), CONDITIONS), bench)
    assert bench.graveyard.count_by_reason() == {}


def calm_with_rises(rises: tuple[int, ...]) -> Tape:
    """6,000 quiet hours, and 300 of steady rise from each of these bars on."""
    steps = np.random.default_rng(1).normal(-0.00002, 0.0002, 6000)
    for first in rises:
        steps[first : first + 300] += 0.0004
    return tape_of(30_000.0 * np.exp(np.cumsum(steps)))


TWO_JUDGED = (1000, 2700, 3900, 4500)
"""One rise on the search stretch, one on the walk-forward, two in the vault."""
RIDE = rule_spec("close > sma(48) * 1.003", exits=("close < sma(48)",), max_hold_bars=None)


@pytest.mark.parametrize("is_sharpe_limited", [True, False])
def test_a_sharpe_of_fifteen_on_two_trades_is_refused_for_its_two_trades(bench: Bench, is_sharpe_limited: bool) -> None:
    """Its rules hold on hundreds of bars, so that it may not be refused unseen; it is its trades that are too few."""
    off = {"max_sharpe_annual": 1e9, "max_return_pct_a_year": 1e9, "min_drawdown_pct": 0.0}
    settings = GateSettings(stretches=1, **({} if is_sharpe_limited else off))
    evidence = judged(RIDE, Tapes(calm_with_rises(TWO_JUDGED), CONDITIONS), bench, settings=settings).evidence
    record = evidence.stretch("record")
    assert record is not None
    assert record.trades == 2
    assert record.sharpe_annual > 15.0
    assert evidence.verdict is Verdict.REJECTED
    assert GateReason.TOO_FEW_TRADES in failed(evidence)
    assert evidence.quarantined is is_sharpe_limited
    assert evidence.deciding is GateReason.TOO_FEW_TRADES
    assert evidence.stretch("vault") is None


def test_who_could_only_ever_trade_twice_is_refused_before_its_sharpe_is_known(bench: Bench) -> None:
    """Its rule speaks on a bar or two of a rise: fewer bars than trades are needed, so no look is spent on it."""
    crossing = rule_spec("close crosses_above sma(48) * 1.003", exits=("close < sma(48)",), max_hold_bars=None)
    evidence = judged(crossing, Tapes(calm_with_rises(TWO_JUDGED), CONDITIONS), bench).evidence
    assert (evidence.verdict, evidence.deciding) == (Verdict.REJECTED, GateReason.TOO_FEW_SIGNALS)
    assert (bench.ledger.looks(), evidence.stretches) == (0, ())


def rigged() -> Tape:
    """Falls of a fifth that are taken back in the next hour, with a volume as deep as anybody wants."""
    steps = np.random.default_rng(1).normal(0.0, 0.002, 6000)
    falls = np.concatenate((np.arange(60, 2400, 60), np.arange(2400, 5998, 12)))
    steps[falls] -= 0.25
    steps[falls + 1] += 0.25
    tape = tape_of(30_000.0 * np.exp(np.cumsum(steps)))
    return make_tape(replace(tape, volume_base=tape.volume_base * 1e6))


def test_ten_thousand_that_become_two_hundred_billion_are_a_bug_until_proven_otherwise(bench: Bench) -> None:
    evidence = judged(rule_spec("roc(1) < -10", max_hold_bars=1), Tapes(rigged(), CONDITIONS), bench).evidence
    assert evidence.starting_quote * (1.0 + chain(evidence).net_return) > 224e9
    assert (evidence.verdict, evidence.quarantined) == (Verdict.REJECTED, True)
    assert evidence.deciding in QUARANTINE
    assert {
        GateReason.SHARPE_IMPLAUSIBLE,
        GateReason.RETURN_IMPLAUSIBLE,
        GateReason.WIN_RATE_IMPLAUSIBLE,
    } <= failed(evidence)
    assert len(evidence.suspicious) == 3
    page = evidence_markdown(evidence)
    assert "bug until proven otherwise" in page
    assert all(line in page for line in evidence.suspicious)


def one_good_month() -> Tape:
    """Every fall is taken back in one June, and what comes back at other times hardly pays the costs."""
    steps = np.random.default_rng(4).normal(0.0, 0.006, 14_000)
    for t in np.flatnonzero(steps < -0.012):
        steps[t + 1 : t + 3] += 0.012 if 4780 < t < 5490 else 0.0005 if t < 5600 else 0.0012
    return tape_of(30_000.0 * np.exp(np.cumsum(steps)))


def test_one_bought_lucky_month_is_what_decides(bench: Bench) -> None:
    """So lucky a month may be called a bug first; with the ceiling out of the way nothing else is wrong with it."""
    spec, settings = rule_spec(position_pct=30.0), GateSettings(max_sharpe_annual=10.0)
    evidence = judged(spec, Tapes(one_good_month(), CONDITIONS), bench, settings=settings).evidence
    assert (evidence.verdict, evidence.deciding) == (Verdict.REJECTED, GateReason.ONE_LUCKY_MONTH)
    assert failed(evidence) == {GateReason.ONE_LUCKY_MONTH}
    assert chain(evidence).net_return > 0.01
    (lucky,) = (finding for finding in evidence.findings if finding.reason is GateReason.ONE_LUCKY_MONTH)
    assert "without 2024-06" in lucky.note
    assert bench.graveyard.count_by_reason() == {"ONE_LUCKY_MONTH": 1}


@needs_data
def test_on_recorded_hours_too_doubled_costs_make_what_trades_worse() -> None:
    tape = import_recorded(DATA, Market.PERP, "BTCUSDT", "1h")
    tape = tape.window(tape.end_ms - 2 * 8760 * 3_600_000, tape.end_ms)
    for spec in LIBRARY:
        if isinstance(spec.parameters, CarryParameters):
            continue
        once, twice = (run_rules(spec, tape, conditions) for conditions in (CONDITIONS, CONDITIONS.dear()))
        if once.entries:
            assert twice.net_return < once.net_return, spec.name
