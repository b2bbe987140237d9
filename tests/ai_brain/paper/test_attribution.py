"""What two lists of trades differ by: each cause gets its own, and the parts are the whole."""

from __future__ import annotations

import random
from dataclasses import astuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ai_brain.paper.account import PaperTrade
from ai_brain.paper.attribution import Differences, attribute

HOUR_MS = 3_600_000


def trade(entry: int, exit_: int, pnl: float = 10.0, **changed: float) -> PaperTrade:
    """A long trade over some hours, of 10 net after fees of 2 and funding of 1."""
    known = {"side": 1, "quantity_base": 1.0, "entry_price": 100.0, "exit_price": 111.0}
    amounts = {"fees_quote": 2.0, "funding_quote": 1.0, "pnl_quote": pnl}
    return PaperTrade.model_validate(
        {"entry_ms": entry * HOUR_MS, "exit_ms": exit_ * HOUR_MS, "reason": "RULE", **known, **amounts, **changed}
    )


def test_the_same_trades_differ_by_nothing() -> None:
    found = attribute([trade(1, 3), trade(5, 9)], [trade(1, 3), trade(5, 9)])
    assert found == Differences()
    assert str(found) == "nothing"


@pytest.mark.parametrize(
    ("mine", "theirs", "cause"),
    [
        ([trade(1, 3), trade(5, 9)], [trade(1, 3)], {"signal": 10.0}),
        ([], [trade(1, 3)], {"signal": -10.0}),
        ([trade(1, 3)], [trade(1, 3, side=-1)], {}),
        ([trade(1, 4, 12.0)], [trade(1, 3)], {"time": 2.0}),
        ([trade(1, 3, 9.5)], [trade(1, 3)], {"price": -0.5}),
        ([trade(1, 3, 9.0, fees_quote=3.0)], [trade(1, 3)], {"fee": -1.0}),
        ([trade(1, 3, 10.5, funding_quote=1.5)], [trade(1, 3)], {"funding": 0.5}),
        ([trade(1, 3), trade(6, 8, 7.0)], [trade(4, 9)], {"signal": 10.0, "time": -3.0}),
    ],
    ids=["one more", "one less", "the other side", "later", "a worse price", "a fee", "funding", "one more, one later"],
)
def test_each_cause_is_named(mine: list[PaperTrade], theirs: list[PaperTrade], cause: dict[str, float]) -> None:
    assert attribute(mine, theirs) == Differences(**cause)


def test_trades_that_only_touch_are_two_and_the_same_bars_come_first() -> None:
    lost, won = trade(0, 10, -50.0), trade(10, 20, 30.0)
    assert attribute([lost, won], [won]) == Differences(signal=-50.0)
    assert attribute([won], [lost, won]) == Differences(signal=50.0)
    # the middle one shares an hour with the first and eight with the second
    assert attribute([trade(0, 2, 5.0), trade(3, 12, 1.0)], [trade(1, 4, 6.0), trade(4, 12, 3.0)]) == Differences(
        time=-1.0 - 2.0
    )
    assert attribute([trade(0, 12, 1.0)], [trade(0, 3, 6.0), trade(4, 12, 3.0)]) == Differences(time=-2.0, signal=-6.0)


def test_a_trade_stopped_out_in_its_first_bar_belongs_to_the_one_that_was_not() -> None:
    assert attribute([trade(5, 5, -4.0)], [trade(5, 9, 6.0)]) == Differences(time=-10.0)


def test_a_difference_too_small_for_its_words_is_not_called_nothing() -> None:
    assert str(attribute([trade(1, 3, 10.0 + 1e-9)], [trade(1, 3)])) == "less than 0.0001 USDT"


def test_it_is_told_with_the_whole_first() -> None:
    told = str(attribute([trade(1, 3, 8.5, fees_quote=3.0)], [trade(1, 3)]))
    assert told == "-1.5000 USDT: price -0.5000, fee -1.0000"


@st.composite
def lives(draw: st.DrawFn) -> list[PaperTrade]:
    """Trades one after the other; of one that ends in its first bar, the next begins in a later one."""
    at, made = 0, []
    for _ in range(draw(st.integers(0, 6))):
        entry = at + draw(st.integers(0, 4)) + (bool(made) and made[-1].entry_ms == made[-1].exit_ms)
        at = entry + draw(st.integers(0, 4))
        amounts = {name: draw(st.integers(-50, 50)) / 4 for name in ("fees_quote", "funding_quote")}
        made.append(trade(entry, at, draw(st.integers(-100, 100)) / 4, side=draw(st.sampled_from([1, -1])), **amounts))
    return made


@given(lives(), lives())
def test_the_parts_are_the_difference_of_the_results_and_the_other_way_round_its_negative(
    mine: list[PaperTrade], theirs: list[PaperTrade]
) -> None:
    found = attribute(mine, theirs)
    whole = sum(one.pnl_quote for one in mine) - sum(one.pnl_quote for one in theirs)
    assert found.total == pytest.approx(whole, abs=1e-9)
    back = attribute(theirs, mine)
    assert [-part for part in astuple(back)] == pytest.approx(list(astuple(found)), abs=1e-9)


@given(lives(), lives(), st.randoms())
def test_in_which_order_the_trades_are_given_does_not_matter(
    mine: list[PaperTrade], theirs: list[PaperTrade], chance: random.Random
) -> None:
    found = attribute(mine, theirs)
    chance.shuffle(mine)
    chance.shuffle(theirs)
    assert attribute(mine, theirs) == found


@given(lives(), st.data())
def test_a_life_with_one_trade_less_differs_by_that_trade_alone(mine: list[PaperTrade], data: st.DataObject) -> None:
    assume(mine)
    left_out = data.draw(st.integers(0, len(mine) - 1))
    found = attribute(mine, [*mine[:left_out], *mine[left_out + 1 :]])
    assert found == Differences(signal=mine[left_out].pnl_quote)
