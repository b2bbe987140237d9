"""The simulator's second witness: vectorbt and backtesting over recorded bars, every difference named by a rule.

The peers are the dependency group `peers`; without them their tests skip by name, and what judges a difference is
still tested here.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks.peer_cases import CASES, Case, lab_result, market_of, tapes
from benchmarks.peer_metrics import explained_by as metric_explained_by
from benchmarks.peer_metrics import metrics
from benchmarks.peer_rules import Comparison, Rule, Terms, Trade, compare
from benchmarks.peers import compared, lab_trades, orders_of, terms_of
from tests.conftest import DATA, needs_data
from tests.trading.simulator.markets import random_tape
from trading.domain.instrument import Market
from trading.market.tape import Tape
from trading.simulator.metrics import NO_LOSS

PAIRS = [(case, peer) for case in CASES for peer in case.peers]
MAY = {
    "vectorbt": {Rule.LIMIT_SLIPPAGE, Rule.ENTRY_BAR, Rule.OPEN_FIRST, Rule.LOST_ENTRY, Rule.LIMIT_PRICE},
    "backtesting": {Rule.HALF_SPREAD, Rule.TRADED_THROUGH},
}
"""What each peer is known to do otherwise; a difference of another kind is news."""
BOTH = Case("both sides", "made", both_sides=True, stop_atr=1.0, target_atr=1.5)


def needs(peer: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(peer) is None, reason=f"{peer} is not installed: dependency group `peers`")


@pytest.fixture(scope="module")
def recorded() -> dict[str, Tape]:
    return tapes(DATA)


@needs_data
@pytest.mark.parametrize(("case", "peer"), [pytest.param(c, p, marks=needs(p), id=f"{p}: {c.name}") for c, p in PAIRS])
def test_every_trade_is_the_peers_or_differs_by_a_rule(
    case: Case, peer: str, recorded: dict[str, Tape], record_property: pytest.RecordProperty
) -> None:
    found = compared(case, peer, recorded[case.tape])
    for name, value in found.to_json().items():
        record_property(name, value)
    assert found.unexplained == []
    assert found.ours > 450
    assert set(found.explained) <= MAY[peer]
    if case.stop_atr is None and (peer == "vectorbt" or case.half_spread_rate == 0.0):
        assert found.equal == found.ours == found.theirs


@needs_data
@needs("vectorbt")
@pytest.mark.parametrize("case", [CASES[0], CASES[3], CASES[4]], ids=lambda case: case.name)
def test_every_metric_is_vectorbts_or_differs_by_its_definition(case: Case, recorded: dict[str, Tape]) -> None:
    for metric in metrics(lab_result(case, market_of(case, recorded[case.tape]))):
        assert metric.why is not None, metric
        assert (metric.why == "") == (metric.name in ("sharpe", "win rate", "profit factor")), metric


@pytest.fixture(scope="module")
def made() -> tuple[Tape, list[Trade]]:
    tape = random_tape(5, 3000, market=Market.PERP, wild=False)
    market = market_of(BOTH, tape)
    return market, lab_trades(BOTH, market, orders_of(BOTH, market))


def judged(
    made: tuple[Tape, list[Trade]], theirs: list[Trade], peer: str = "backtesting", case: Case = BOTH
) -> Comparison:
    return compare(made[1], theirs, made[0], terms_of(case, peer))


def test_the_same_trades_are_equal(made: tuple[Tape, list[Trade]]) -> None:
    assert judged(made, made[1]).equal == len(made[1]) > 90


@pytest.mark.parametrize("peer", ["vectorbt", "backtesting"])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda t: replace(t, entry_price=t.entry_price * 1.000001),
        lambda t: replace(t, exit_price=t.exit_price * 1.000001, pnl=t.pnl + t.side * t.size * t.exit_price * 1e-6),
        lambda t: replace(t, exit_bar=t.exit_bar + 1),
        lambda t: replace(t, exit_bar=t.exit_bar - 1),
        lambda t: replace(t, side=-t.side),
        lambda t: replace(t, fees=t.fees * 1.00001),
        lambda t: replace(t, pnl=t.pnl + 0.0001 * t.size * t.entry_price),
        lambda t: replace(t, entry_bar=t.entry_bar + 1),
    ],
    ids=["entry price", "exit price", "later exit", "earlier exit", "side", "fees", "pnl", "entry bar"],
)
def test_a_defect_is_no_difference_that_a_rule_explains(made: tuple[Tape, list[Trade]], peer: str, wrong) -> None:
    for place in range(10, 100, 9):
        theirs = list(made[1])
        theirs[place] = wrong(theirs[place])
        found = judged(made, theirs, peer)
        assert len(found.unexplained) >= 1, (place, found.explained)


def test_a_smaller_size_is_seen_where_sizes_are_compared(made: tuple[Tape, list[Trade]]) -> None:
    theirs = [replace(t, size=t.size * 0.9999, fees=t.fees * 0.9999, pnl=t.pnl * 0.9999) for t in made[1]]
    assert len(judged(made, theirs).unexplained) == len(theirs)


def test_a_trade_of_one_side_only_is_unexplained(made: tuple[Tape, list[Trade]]) -> None:
    assert len(judged(made, [t for i, t in enumerate(made[1]) if i % 50 != 3]).unexplained) == len(made[1][3::50])


def test_a_peer_that_pays_no_spread_at_the_exit_is_explained_only_at_exactly_that_price(
    made: tuple[Tape, list[Trade]],
) -> None:
    case = replace(BOTH, half_spread_rate=0.001)
    ours = lab_trades(case, made[0], orders_of(case, made[0]))
    terms: Terms = terms_of(case, "backtesting")

    def without_spread(trade: Trade, share: float) -> Trade:
        price = trade.exit_price / (1.0 - trade.side * case.half_spread_rate * share)
        fees = case.fee_rate * trade.size * (trade.entry_price + price)
        pnl = trade.side * trade.size * (price - trade.entry_price) - fees
        return replace(trade, exit_price=price, fees=fees, pnl=pnl)

    at_market = [t for t in ours if not np.isclose(t.exit_price, t.target, rtol=1e-12)]
    whole = compare(at_market, [without_spread(t, 1.0) for t in at_market], made[0], terms)
    assert dict(whole.explained) == {Rule.HALF_SPREAD: len(at_market)}
    half = compare(at_market, [without_spread(t, 0.5) for t in at_market], made[0], terms)
    assert len(half.unexplained) == len(at_market)


@pytest.mark.parametrize(
    ("name", "ours", "theirs", "is_explained"),
    [
        ("sharpe", 1.0, 1.0 + 1e-6, False),
        ("sharpe", 0.0, float("nan"), True),
        ("sharpe", 0.1, float("nan"), False),
        ("sortino", 1.0, (100 / 99) ** 0.5, True),
        ("sortino", 1.0, 100 / 99, False),
        ("max drawdown", 0.2, -0.2, True),
        ("max drawdown", 0.2, -0.21, False),
        ("profit factor", NO_LOSS, float("inf"), True),
        ("profit factor", 2.0, float("inf"), False),
    ],
)
def test_a_metric_is_explained_by_its_definition_and_by_nothing_near_it(
    name: str, ours: float, theirs: float, is_explained: bool
) -> None:
    assert (metric_explained_by(name, ours, theirs, bars=100) is not None) == is_explained
