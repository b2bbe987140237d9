"""Liquidation by the exchange's margin table: the venue's formula by hand, the slow twin, recorded tables."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.universe.known_rules import known_rules
from tests import naive
from tests.conftest import DATA, needs_data
from tests.trading.simulator.markets import rule_spec, tape_of
from trading.domain.errors import SettingsError
from trading.domain.instrument import Bracket, Market
from trading.simulator.costs import Costs, MarketRules, continuous_brackets
from trading.simulator.fills import liquidation_price
from trading.simulator.records import Acted
from trading.simulator.simulate import simulate

BTC = continuous_brackets(
    ((300_000.0, 0.004), (800_000.0, 0.005), (3_000_000.0, 0.0065), (12_000_000.0, 0.01), (70_000_000.0, 0.02))
)
FREE = Costs(0.0, 0.0, 0.0, 0.0)
TABLE = DATA / "payloads" / "binance_rest" / "usdm_leverage_brackets.trim.json"


def rows_of(brackets: tuple[Bracket, ...]) -> list[tuple[float, float, float, float]]:
    return [
        (b.notional_from_quote, b.notional_to_quote, b.maintenance_rate, b.maintenance_amount_quote) for b in brackets
    ]


def test_a_short_in_the_second_bracket_is_liquidated_where_the_venues_formula_says() -> None:
    # Binance, "Liquidation Price of USD-M Futures": (WB + cum - side q EP) / (q MMR - side q), isolated, one position.
    # Short 10 BTC at 50,000 with 50,000 USDT: (50,000 + 300 + 500,000) / (10 x 0.005 + 10) = 54,756.2189.., and the
    # notional there, 547,562, is in the bracket of 0.5 %. The first bracket alone would say 54,780.8765..
    margin = MarketRules(brackets=BTC).margin()[0]
    assert liquidation_price(-1.0, 10.0, 50_000.0, 50_000.0, margin) == pytest.approx(550_300.0 / 10.05, rel=1e-15)
    first_only = MarketRules().margin()[0]
    assert liquidation_price(-1.0, 10.0, 50_000.0, 50_000.0, first_only) == pytest.approx(550_000.0 / 10.04, rel=1e-15)


def test_a_long_is_liquidated_by_the_bracket_of_the_notional_at_that_price_not_at_its_entry() -> None:
    # 320,000 at the entry is in the second bracket; at the liquidation price only 288,000 or so is left, in the first.
    margin = MarketRules(brackets=BTC).margin()[0]
    found = liquidation_price(1.0, 10.0, 32_000.0, 40_000.0, margin)
    assert found == pytest.approx((320_000.0 - 40_000.0) / (10.0 * 0.996), rel=1e-15)
    assert found * 10.0 < 300_000.0


@settings(deadline=None, max_examples=300)
@given(
    side=st.sampled_from([-1, 1]),
    notional=st.floats(10.0, 5e8),
    entry=st.floats(0.01, 1e5),
    leverage=st.floats(1.0, 50.0),
    table=st.lists(st.tuples(st.floats(1.5, 8.0), st.floats(1.05, 2.0)), min_size=1, max_size=11),
)
def test_the_price_equals_the_twin_that_looks_its_bracket_up_and_keeps_exactly_the_margin(
    side: int, notional: float, entry: float, leverage: float, table: list[tuple[float, float]]
) -> None:
    caps, rates = np.cumprod([5e3] + [c for c, _ in table]), 0.004 * np.cumprod([1.0] + [r for _, r in table])
    brackets = continuous_brackets(tuple((c, r) for c, r in zip(caps.tolist(), rates.tolist(), strict=True) if r < 0.6))
    quantity, left = notional / entry, notional / leverage
    found = liquidation_price(float(side), quantity, entry, left, MarketRules(brackets=brackets).margin()[0])
    twin = naive.bust_price(side, quantity, entry, left, rows_of(brackets))
    assert found == pytest.approx(twin, rel=1e-9, abs=entry * 1e-9)
    if found > 0.0:
        held = quantity * found
        kept = [r * held - a for low, high, r, a in rows_of(brackets) if low <= held <= high]
        need = kept[0] if kept else brackets[-1].maintenance_rate * held - brackets[-1].maintenance_amount_quote
        assert left + side * quantity * (found - entry) == pytest.approx(need, rel=1e-6, abs=notional * 1e-6)


def test_a_large_position_is_liquidated_earlier_than_the_first_bracket_would() -> None:
    quiet = [(100.0, 100.0, 100.0, 100.0), (100.0, 101.0, 100.0, 101.0), (100.0, 100.0, 100.0, 100.0)]
    tape = tape_of([*quiet, (100.0, 100.0, 67.1, 90.0)], volume=1e12)
    spec = rule_spec(lists={"entry_long": ("close > 100.5",)}, leverage=3, position_pct=100.0)
    rules = MarketRules(tick=0.01, lot=0.001)
    # 90,000 at 100 with 3m of margin: 6m / (90,000 x 0.996) = 66.93, and by the fourth bracket 5.988m / 89,100 = 67.21.
    runs = [simulate(tape, spec, costs=FREE, rules=replace(rules, brackets=b), starting_quote=3e6) for b in ((), BTC)]
    assert [[Acted(r) for r in run.trades["reason"]] for run in runs] == [[], [Acted.LIQUIDATION]]


@pytest.mark.parametrize(
    ("brackets", "why"),
    [
        ((Bracket(0, 100, 0.01, 0, 0), Bracket(100, 200, 0.005, 0, 0)), r"brackets\[1\]: maintenance_rate=0.005"),
        ((Bracket(0, 100, 0.01, 0, 0), Bracket(150, 200, 0.02, 1.5, 0)), r"brackets\[1\]: from 150 to 200"),
        ((Bracket(0, 100, 0.01, 0, 0), Bracket(100, 200, 0.02, 7.0, 0)), r"maintenance_amount_quote=7.0.*1 keeps"),
        ((Bracket(0, 100, 1.5, 0, 0),), r"brackets\[0\]: maintenance_rate=1.5"),
        ((Bracket(0, 100, float("nan"), 0, 0),), r"brackets\[0\]: maintenance_rate=nan"),
    ],
)
def test_a_table_that_jumps_or_falls_is_refused(brackets: tuple[Bracket, ...], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        MarketRules(brackets=brackets)


@needs_data
def test_every_recorded_table_is_continuous_and_the_known_ones_equal_it() -> None:
    for symbol, steps in json.loads(TABLE.read_text()).items():
        recorded = tuple(
            Bracket(s["minNotional"], s["maxNotional"], s["maintenanceMarginRate"], float(s["info"]["cum"]), 0.0)
            for s in steps
        )
        MarketRules(brackets=recorded)
        native = symbol.split(":")[0].replace("/", "")
        if known := known_rules(Market.PERP, native).brackets:
            assert rows_of(known) == pytest.approx([pytest.approx(row) for row in rows_of(recorded)])
    assert len(known_rules(Market.PERP, "BTCUSDT").brackets) == 12
    assert known_rules(Market.SPOT, "BTCUSDT").brackets == ()
