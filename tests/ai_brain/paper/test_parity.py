"""Paper replayed on recorded bars is the same to the bit, a doctored account is found, doubt is not called passed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from ai_brain.paper.account import LearnedTerms, load_account
from ai_brain.paper.market_view import PaperTapes, markets_of, paper_tapes
from ai_brain.paper.parity import Parity, ParityStatus, compare
from ai_brain.paper.settings import PaperSettings
from tests.ai_brain.markets import HOUR_MS, START_MS, carry_spec, rule_spec
from tests.ai_brain.paper_lab import HISTORY, Lab, basis_spec, carry_lab, rule_lab, without, without_spot_bar
from trading.domain.instrument import Market
from trading.market.tape import make_tape
from trading.simulator.carry_weights import CarryWeights
from trading.simulator.costs import MarketRules
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec

SETTINGS, USUAL = PaperSettings(), CarryWeights()


def shelf(lab: Lab, *, bars: int | None = None) -> PaperTapes:
    """The lab's market as recorded: whole, or its first bars."""
    cut = {market: tape if bars is None else tape.window(tape.start_ms, START_MS + bars * HOUR_MS)
           for market, tape in lab.live.tapes.items()}  # fmt: skip
    return PaperTapes(cut[Market.PERP], cut.get(Market.SPOT))


def held_against(
    lab: Lab, spec: StrategySpec, tapes: PaperTapes | None = None, weights: CarryWeights = USUAL, **changed: object
) -> Parity:
    account = load_account(lab.home, spec.id)
    assert account is not None
    account = replace(account, **changed)  # type: ignore[arg-type]
    tapes = tapes or (both_markets(lab, spec) if spec.reads_basis else shelf(lab))
    return compare(account, spec, tapes, SETTINGS, MarketRules(), weights)


def both_markets(lab: Lab, spec: StrategySpec) -> PaperTapes:
    """The recorded perpetual with its spot market beside it."""
    return paper_tapes(spec, [lab.live.tapes[market] for market in markets_of(spec)])


def rules_played(home: Home, bars: int = 120) -> tuple[Lab, StrategySpec]:
    lab = rule_lab(home)
    spec = lab.add(rule_spec(filters=("adx(14) < 60",)))
    lab.play(bars)
    return lab, spec


def carry_played(home: Home, bars: int = 120) -> tuple[Lab, StrategySpec]:
    lab = carry_lab(home)
    spec = lab.add(carry_spec(min_hold_fundings=3))
    lab.engine.on_closed_bar(lab.live)
    lab.play(bars)
    return lab, spec


def basis_played(home: Home, bars: int = 120) -> tuple[Lab, StrategySpec]:
    lab = carry_lab(home)
    spec = lab.add(basis_spec())
    lab.engine.on_closed_bar(lab.live)
    lab.play(bars)
    return lab, spec


@pytest.mark.parametrize("played", [rules_played, carry_played, basis_played])
def test_what_was_stepped_live_bar_by_bar_is_the_backtest_of_the_recorded_bars(home: Home, played) -> None:  # type: ignore[no-untyped-def]
    lab, spec = played(home)
    found = held_against(lab, spec)
    assert (found.status, found.bars, found.why) == (ParityStatus.SAME, 120, "")
    account = load_account(home, spec.id)
    assert account is not None
    assert found.trades == len(account.trades)
    assert len({quote for _, quote in account.curve}) > 5, "an account that never moved proves nothing"


@pytest.mark.parametrize(
    ("lab_of", "spec_of"),
    [(rule_lab, lambda: rule_spec("roc(1) < -0.2")), (carry_lab, lambda: carry_spec(min_hold_fundings=3))],
)
def test_an_account_keeps_what_was_learned_before_it_began_whatever_is_learned_later(
    home: Home, lab_of: Callable[[Home], Lab], spec_of: Callable[[], StrategySpec]
) -> None:
    slippage = []
    for number, learned in enumerate(
        (None, LearnedTerms(slippage=4.0, impact_rate=0.0001, version="fills of a night"))
    ):
        lab = lab_of(Home(home.root / str(number)).make())
        lab.learned = learned
        spec = lab.add(spec_of())
        lab.engine.on_closed_bar(lab.live)
        lab.play(20)
        lab.learned = LearnedTerms(slippage=0.5, impact_rate=0.00001, version="fills of another")
        lab.restart()
        lab.play(20)
        account = load_account(lab.home, spec.id)
        assert account is not None
        assert account.learned == learned
        slippage.append(account.slippage_quote)
        assert held_against(lab, spec).status is ParityStatus.SAME
        other = held_against(lab, spec, learned=lab.learned)
        assert other.status is ParityStatus.NOT_COMPARABLE
    assert slippage[1] > 2.0 * slippage[0] > 0.0


def test_restarts_and_bars_caught_up_at_once_change_nothing(home: Home) -> None:
    lab = rule_lab(home)
    spec = lab.add(rule_spec())
    lab.play(50, each=lab.restart)
    lab.live.shown += 40
    lab.play(10)
    assert held_against(lab, spec).status is ParityStatus.SAME


def test_entries_dropped_for_want_of_a_place_are_dropped_in_the_replay_too(home: Home) -> None:
    lab = rule_lab(home, max_positions=1)
    specs = [lab.add(rule_spec(f"roc(1) < -{1.0 + number / 100}", max_hold_bars=12)) for number in range(3)]
    lab.play(100)
    assert lab.events("paper.entry_refused")
    dropped = []
    for spec in specs:
        assert held_against(lab, spec).status is ParityStatus.SAME
        account = load_account(home, spec.id)
        assert account is not None
        dropped += account.dropped_ms
    assert len(dropped) == len(lab.events("paper.entry_refused"))
    assert held_against(lab, specs[-1], dropped_ms=[]).status is ParityStatus.DIFFERENT


def basis_played(home: Home, bars: int = 120) -> tuple[Lab, StrategySpec]:
    lab = carry_lab(home)
    spec = lab.add(basis_spec())
    lab.engine.on_closed_bar(lab.live)
    lab.play(bars)
    return lab, spec


@pytest.mark.parametrize("played", [rules_played, carry_played, basis_played])
def test_one_bit_of_equity_that_differs_is_found_with_both_numbers(home: Home, played) -> None:  # type: ignore[no-untyped-def]
    lab, spec = played(home)
    account = load_account(home, spec.id)
    assert account is not None
    curve = list(account.curve)
    at_ms, quote = curve[100]
    curve[100] = (at_ms, float(np.nextafter(quote, 1e9)))
    found = held_against(lab, spec, curve=curve)
    assert found.status is ParityStatus.DIFFERENT
    assert (found.paper, found.backtest) == (curve[100][1], quote)
    assert found.why.startswith("equity at the close of 20")


def test_a_trade_that_differs_or_is_missing_is_found(home: Home) -> None:
    lab, spec = rules_played(home)
    account = load_account(home, spec.id)
    assert account is not None
    first = account.trades[0]
    bent = first.model_copy(update={"exit_price": first.exit_price + 0.01})
    found = held_against(lab, spec, trades=[bent, *account.trades[1:]])
    assert (found.status, found.paper, found.backtest) == (ParityStatus.DIFFERENT, bent.exit_price, first.exit_price)
    assert found.why.startswith("exit_price of trade 1")
    fewer = held_against(lab, spec, trades=account.trades[:-1])
    assert (fewer.why, fewer.paper) == ("number of closed trades", float(len(account.trades) - 1))


def test_other_prices_on_the_shelf_are_a_difference(home: Home) -> None:
    lab, spec = rules_played(home)
    tape = lab.live.tapes[Market.PERP]
    close, at = tape.close.copy(), HISTORY + 20
    close[at:] = close[at:] * 1.001
    high, low = np.maximum(tape.high, close), np.minimum(tape.low, close)
    found = held_against(lab, spec, PaperTapes(make_tape(replace(tape, close=close, high=high, low=low))))
    assert found.status is ParityStatus.DIFFERENT


def test_other_spot_prices_on_the_shelf_are_a_difference_for_rules_of_the_basis(home: Home) -> None:
    lab, spec = basis_played(home)
    spot = lab.live.tapes[Market.SPOT]
    close = spot.close.copy()
    close[HISTORY + 20 :] *= 1.0 + 0.0002 * np.sin(np.arange(len(spot) - HISTORY - 20))
    high, low = np.maximum(spot.high, close), np.minimum(spot.low, close)
    lab.live.tapes[Market.SPOT] = make_tape(replace(spot, close=close, high=high, low=low))
    assert held_against(lab, spec).status is ParityStatus.DIFFERENT


def test_a_spot_bar_that_only_one_of_paper_and_shelf_has_is_doubt_and_one_that_neither_has_is_none(home: Home) -> None:
    lab, spec = basis_played(home, bars=60)
    whole = lab.live.tapes[Market.SPOT]
    without_spot_bar(lab, HISTORY + 30)
    found = held_against(lab, spec)
    assert found.status is ParityStatus.NOT_COMPARABLE
    assert "one has a spot bar of 2023-11-21T06:00:00Z, the other has none" in found.why
    other = carry_lab(Home(home.root / "other").make())
    other.add(spec_of := basis_spec())
    other.engine.on_closed_bar(other.live)
    without_spot_bar(other, HISTORY + 30)
    other.live.shown += 60
    other.restart()
    other.engine.on_closed_bar(other.live)
    assert held_against(other, spec_of).status is ParityStatus.SAME
    other.live.tapes[Market.SPOT] = whole
    assert held_against(other, spec_of).status is ParityStatus.NOT_COMPARABLE


def test_only_what_the_shelf_has_is_compared(home: Home) -> None:
    lab, spec = carry_played(home)
    found = held_against(lab, spec, shelf(lab, bars=HISTORY + 90))
    assert (found.status, found.bars) == (ParityStatus.SAME, 90)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"last_bar_ms": None}, "has not stepped a bar"),
        ({"warm_from_ms": None}, "before its first bar of history was kept"),
        ({"spec_sha256": "0" * 64}, "parameters changed"),
        ({"terms_sha256": "0" * 64}, "fee, the exchange's steps or how a carry decides changed"),
        ({"warm_from_ms": START_MS - HOUR_MS}, "bars begin"),
    ],
)
def test_what_cannot_be_replayed_is_not_called_passed(home: Home, changed: dict[str, object], why: str) -> None:
    lab, spec = rules_played(home, bars=30)
    found = held_against(lab, spec, **changed)
    assert found.status is ParityStatus.NOT_COMPARABLE
    assert why in found.why


def with_holes(lab: Lab, at: Sequence[int], market: Market = Market.PERP) -> None:
    """The lab never gets some bars; indices in the market's tape."""
    lab.live.tapes[market] = without(lab.live.tapes[market], at)
    lab.restart()


@pytest.mark.parametrize("market", list(Market))
def test_bars_that_paper_had_to_go_without_are_left_out_of_the_replay_and_counted(home: Home, market: Market) -> None:
    lab = carry_lab(home)
    spec = lab.add(carry_spec(min_hold_fundings=3))
    lab.engine.on_closed_bar(lab.live)
    lab.play(20)
    whole = lab.live.tapes[market]
    with_holes(lab, [HISTORY + 20, HISTORY + 21], market)
    lab.live.shown += 40
    lab.restart()
    lab.play(20)
    lab.live.tapes[market] = whole
    found = held_against(lab, spec)
    assert (found.status, found.bars, found.missed) == (ParityStatus.SAME, 78, 2)
    older = held_against(lab, spec, missed_ms=[])
    assert (older.status, older.missed) == (ParityStatus.SAME, 2), "an account from before that was kept has its curve"


def test_a_bar_of_history_that_paper_never_saw_is_left_out_of_the_replay_too(home: Home) -> None:
    lab = rule_lab(home)
    whole = lab.live.tapes[Market.PERP]
    with_holes(lab, [HISTORY - 3])
    spec = lab.add(rule_spec("zscore(24) < -0.5"))
    lab.play(60)
    assert load_account(home, spec.id).missed_ms == [START_MS + (HISTORY - 3) * HOUR_MS]  # type: ignore[union-attr]
    lab.live.tapes[Market.PERP] = whole
    assert held_against(lab, spec).status is ParityStatus.SAME
    assert held_against(lab, spec, missed_ms=[]).status is ParityStatus.DIFFERENT


def test_an_account_that_went_without_many_bars_proves_nothing(home: Home) -> None:
    lab = rule_lab(home)
    spec = lab.add(rule_spec())
    lab.play(20)
    whole = lab.live.tapes[Market.PERP]
    with_holes(lab, [HISTORY + 20, HISTORY + 24, HISTORY + 28])
    lab.live.shown += 60
    lab.restart()
    lab.play(20)
    lab.live.tapes[Market.PERP] = whole
    found = held_against(lab, spec)
    assert (found.status, found.missed) == (ParityStatus.NOT_COMPARABLE, 3)
    assert found.why.startswith("paper went without 3 of 100 bars")


def test_bars_missing_on_the_shelf_are_told_by_count(home: Home) -> None:
    lab, spec = rules_played(home, bars=30)
    holed = PaperTapes(without(lab.live.tapes[Market.PERP], HISTORY + 10))
    found = held_against(lab, spec, holed)
    assert found.status is ParityStatus.NOT_COMPARABLE
    assert "paper stepped 30 bars until" in found.why
    assert "the shelf has 29" in found.why
    short = held_against(lab, spec, shelf(lab, bars=HISTORY))
    assert "before its first bar has closed" in short.why


def test_a_carry_that_would_decide_otherwise_now_is_not_compared_and_rules_are(home: Home) -> None:
    otherwise = CarryWeights(doubt=1.0)
    lab, spec = rules_played(home, bars=30)
    assert held_against(lab, spec, weights=otherwise).status is ParityStatus.SAME
    lab = carry_lab(home)
    carry = lab.add(carry_spec())
    lab.engine.on_closed_bar(lab.live)
    lab.play(30)
    assert held_against(lab, carry).status is ParityStatus.SAME
    found = held_against(lab, carry, weights=otherwise)
    assert (found.status, "how a carry decides" in found.why) == (ParityStatus.NOT_COMPARABLE, True)
