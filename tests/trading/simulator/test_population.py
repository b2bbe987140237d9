"""A population gives each strategy what it gets alone: the same trades to the last bit, the same metrics."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.simulator.markets import carry_spec, random_tape, rule_spec, rule_specs, tape_of
from tests.trading.simulator.test_carry_twin import SMALL_BRACKETS
from trading.domain.errors import SpecError
from trading.domain.instrument import Bracket, Market
from trading.market.tape import Tape
from trading.simulator import population
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.metrics import summary
from trading.simulator.population import Population, PopulationResult, simulate_population
from trading.simulator.simulate import Result, simulate
from trading.strategy.spec import StrategySpec

COSTS = Costs(impact_k=0.4)
RULES = MarketRules(lot=0.001, min_notional=5.0)


def assert_same(alone: Result, together: PopulationResult, place: int) -> None:
    score = together.scores[place]
    assert together.trades[place].tobytes() == alone.trades.tobytes()
    assert score["equity"] == alone.equity[-1]
    assert (score["fees"], score["slippage"], score["funding"]) == tuple(asdict(alone.costs).values())
    assert score["orders_refused"] == alone.orders_refused
    assert score["gaps_met"] == alone.gaps_met
    assert score["open_quantity"] == alone.open_quantity
    held = int((alone.trades["exit_bar"] - alone.trades["entry_bar"]).sum())
    held += 0 if alone.open_trade is None else len(alone.equity) - alone.open_trade.entry_bar
    assert score["exposure"] == pytest.approx(held / len(alone.equity), rel=1e-12)
    for name, value in summary(alone).to_json().items():
        if name == "days":
            continue
        slack = 1e-9 * (1.0 if name in ("skew", "kurtosis") or "sharpe" in name or "sortino" in name else 0.0)
        assert score[name] == pytest.approx(value, rel=1e-9, abs=slack + 1e-15), name


@settings(deadline=None, max_examples=60)
@given(
    st.lists(rule_specs(), min_size=1, max_size=6),
    st.integers(0, 10_000),
    st.integers(2, 400),
    st.sampled_from(Market),
    st.sampled_from([(), SMALL_BRACKETS]),
)
def test_together_and_alone_are_the_same(
    specs: list[StrategySpec], seed: int, bars: int, market: Market, brackets: tuple[Bracket, ...]
) -> None:
    specs = [rule_spec_of(spec, market) for spec in specs]
    tape, rules = random_tape(seed, bars, market=market), replace(RULES, brackets=brackets)
    together = simulate_population(tape, specs, costs=COSTS, rules=rules, keep_trades=True)
    for place, spec in enumerate(specs):
        assert_same(simulate(tape, spec, costs=COSTS, rules=rules), together, place)


def rule_spec_of(spec: StrategySpec, market: Market) -> StrategySpec:
    """The same rules on another market; spot has no funding and no basis to read."""
    if market is Market.PERP:
        return spec
    parameters = spec.parameters
    lists = {
        name: tuple(text for text in getattr(parameters, name) if "funding" not in text and "basis" not in text)
        for name in ("entry_long", "exit_long", "filters")
    }
    lists = lists if lists["entry_long"] else {**lists, "entry_long": ("close > open",)}
    risk = parameters.risk.model_dump() | {"leverage": 1}
    return rule_spec(market=market, lists=lists, **risk)


@settings(deadline=None, max_examples=25)
@given(st.lists(rule_specs(), min_size=1, max_size=4), st.integers(0, 10_000), st.integers(0, 3), st.data())
def test_fed_in_pieces_it_is_the_same_and_each_delay_is_kept(
    specs: list[StrategySpec], seed: int, delay: int, data: st.DataObject
) -> None:
    tape = head(random_tape(seed, 300), 300)
    cuts = sorted(data.draw(st.sets(st.integers(1, 299), max_size=12)))
    whole = simulate_population(tape, specs, costs=COSTS, rules=RULES, entry_delay_bars=delay, keep_trades=True)
    pieces = Population(specs, costs=COSTS, rules=RULES, entry_delay_bars=delay)
    closed: list[list[np.ndarray]] = [[] for _ in specs]
    for cut in [*cuts, 300]:
        seen = pieces.advance(head(tape, cut), keep_trades=True)
        for place, trades in enumerate(seen.trades):
            closed[place].append(trades)
    assert seen.scores.tobytes() == whole.scores.tobytes()
    for place, parts in enumerate(closed):
        assert np.concatenate(parts).tobytes() == whole.trades[place].tobytes()


def head(tape: Tape, bars: int) -> Tape:
    """The first bars of a tape, with the settlements known by then."""
    return tape.window(tape.start_ms, int(tape.open_time_ms[bars - 1]) + tape.interval_ms)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_and_small_tiles_change_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tape = random_tape(7, 3_000)
    specs = [rule_spec(stop_loss_atr=1.0 + k / 50, take_profit_atr=2.0, trailing_atr=None) for k in range(150)]
    whole = simulate_population(tape, specs, costs=COSTS, rules=RULES, keep_trades=True)
    monkeypatch.setattr(population, "LARGEST_TILE", 256)
    monkeypatch.setattr(population, "TRADES_A_TASK", 100)
    tiled = simulate_population(tape, specs, costs=COSTS, rules=RULES, keep_trades=True, threads=threads)
    assert [t.tobytes() for t in tiled.trades] == [t.tobytes() for t in whole.trades]
    assert tiled.scores.tobytes() == whole.scores.tobytes()


def test_without_trades_kept_the_scores_are_the_same() -> None:
    tape, specs = random_tape(3, 500), [rule_spec(stop_loss_atr=1.0)]
    kept = simulate_population(tape, specs, costs=COSTS, rules=RULES, keep_trades=True)
    counted = simulate_population(tape, specs, costs=COSTS, rules=RULES)
    assert counted.trades == ()
    assert counted.scores.tobytes() == kept.scores.tobytes()
    assert counted.scores["trades"][0] == len(kept.trades[0]) > 0


def test_a_strategy_that_never_trades_has_no_sharpe_and_keeps_its_money() -> None:
    specs = [rule_spec(lists={"entry_long": ("close > 1000000",)})]
    score = simulate_population(random_tape(1, 300), specs, costs=COSTS, rules=RULES).scores[0]
    assert score["sharpe_annual"] == score["sharpe_daily"] == score["sortino_annual"] == score["net_return"] == 0.0
    assert score["kurtosis"] == 3.0


def test_no_specs_a_carry_or_another_market_are_refused_by_name() -> None:
    tape = tape_of([(100, 101, 99, 100)] * 3)
    with pytest.raises(SpecError, match="no specs"):
        simulate_population(tape, [], costs=COSTS, rules=RULES)
    with pytest.raises(SpecError, match="has no rules"):
        simulate_population(tape, [carry_spec()], costs=COSTS, rules=RULES)
    stranger = rule_spec(market=Market.SPOT)
    with pytest.raises(SpecError, match=stranger.id):
        simulate_population(tape, [rule_spec(), stranger], costs=COSTS, rules=RULES)


@pytest.mark.parametrize("trailing_atr", [None, 40.0])
@pytest.mark.parametrize("side", [1, -1])
def test_the_worst_moment_and_the_worst_close_of_bars_that_only_pass_are_in_the_drawdowns(
    side: int, trailing_atr: float | None
) -> None:
    def bar(opened: float, best: float, worst: float, closed: float) -> tuple[float, float, float, float]:
        """A bar as a holder of that side sees it: losses count downwards from 100."""
        prices = [100.0 + side * (price - 100.0) for price in (opened, best, worst, closed)]
        return prices[0], max(prices), min(prices), prices[3]

    passing = [bar(99, 99, 98, 98), bar(98, 98, 80, 97), bar(97, 98, 94, 94), bar(94, 98, 93, 96)]
    quiet = [bar(100, 100.5, 99.5, 100)] * 20
    rows = [*quiet, bar(100, 101, 100, 101), bar(101, 101, 98, 99), *passing, *[bar(96, 97, 95, 96)] * 4]
    entry = "entry_long" if side > 0 else "entry_short"
    rule = f"close {'>' if side > 0 else '<'} open"
    spec = rule_spec(lists={entry: (rule,)}, max_hold_bars=8, position_pct=100.0, trailing_atr=trailing_atr)
    costs, rules = Costs(0.0, 0.0, 0.0, 0.0), MarketRules(lot=1e-6, min_notional=0.0)
    tape = tape_of(rows)
    together = simulate_population(tape, [spec], costs=costs, rules=rules, keep_trades=True)
    assert_same(simulate(tape, spec, costs=costs, rules=rules), together, 0)
    quantity = 10_000.0 / rows[21][0]
    assert together.scores["max_drawdown_intrabar"][0] == pytest.approx(21.0 * quantity / 10_000.0, abs=1e-6)
    assert together.scores["max_drawdown"][0] == pytest.approx(7.0 * quantity / 10_000.0, abs=1e-6)


def test_a_trade_that_brought_nothing_is_not_among_the_won() -> None:
    rows = [(100.0, 101.0, 99.0, 100.5), *[(100.0, 101.0, 99.0, 100.0)] * 9]
    spec = rule_spec(lists={"entry_long": ("close > open",)}, max_hold_bars=3)
    costs, tape = Costs(0.0, 0.0, 0.0, 0.0), tape_of(rows)
    together = simulate_population(tape, [spec], costs=costs, rules=RULES, keep_trades=True)
    assert_same(simulate(tape, spec, costs=costs, rules=RULES), together, 0)
    assert (together.scores["trades"][0], together.scores["win_rate"][0]) == (1, 0.0)
