"""A difference is split whole: closed trades and what is still held add up to the difference of two equities."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ai_brain.paper.account import PaperAccount, load_account
from ai_brain.paper.attribution import Differences
from ai_brain.paper.market_view import PaperTapes, markets_of, paper_tapes
from ai_brain.paper.parity import ParityStatus, compare
from ai_brain.paper.settings import PaperSettings
from ai_brain.paper.still_held import held_on_paper
from tests.ai_brain.markets import HOUR_MS, START_MS, carry_spec, rule_spec
from tests.ai_brain.paper_lab import HISTORY, Lab, basis_spec, carry_lab, rule_lab
from trading.domain.instrument import Market
from trading.market.tape import Tape, make_tape
from trading.simulator.carry_weights import CarryWeights
from trading.simulator.costs import MarketRules
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec

SPECS = {
    "rules": lambda: rule_spec("roc(1) < -0.2", exits=("roc(1) > 0.9",), max_hold_bars=15),
    "basis": basis_spec,
    "carry": lambda: carry_spec(min_hold_fundings=3),
}


def lab_in(home: Home, kind: str) -> tuple[Lab, StrategySpec]:
    lab = rule_lab(home) if kind == "rules" else carry_lab(home)
    spec = lab.add(SPECS[kind]())
    lab.engine.on_closed_bar(lab.live)
    return lab, spec


def account_of(lab: Lab, spec: StrategySpec) -> PaperAccount:
    account = load_account(lab.home, spec.id)
    assert account is not None
    return account


def bent(tape: Tape, at: int, by: float) -> Tape:
    """All prices from one bar on that much higher."""
    changed = {name: getattr(tape, name).copy() for name in ("open", "high", "low", "close")}
    for column in changed.values():
        column[at:] *= 1.0 + by
    return make_tape(replace(tape, **changed))


def shelf_of(lab: Lab, spec: StrategySpec, until_bar: int) -> PaperTapes:
    end_ms = START_MS + until_bar * HOUR_MS
    return paper_tapes(spec, [lab.live.tapes[market].window(START_MS, end_ms) for market in markets_of(spec)])


def split(account: PaperAccount, spec: StrategySpec, tapes: PaperTapes) -> Differences:
    found = compare(account, spec, tapes, PaperSettings(), MarketRules(), CarryWeights())
    assert found.status is ParityStatus.DIFFERENT
    assert found.differences is not None
    return found.differences


@pytest.mark.parametrize("kind", ["rules", "basis", "carry"])
def test_at_every_bar_the_parts_add_up_to_the_difference_of_the_two_equities(home: Home, kind: str) -> None:
    lab, spec = lab_in(home, kind)
    other, same = lab_in(Home(home.root / "other").make(), kind)
    for market in lab.live.tapes:
        other.live.tapes[market] = bent(
            lab.live.tapes[market], HISTORY + 20, 0.001 if market is Market.PERP else 0.0004
        )
    lab.play(20)
    other.play(20)
    held = 0
    for bar in range(20, 60):
        lab.play(1)
        other.play(1)
        account, witness = account_of(lab, spec), account_of(other, same)
        if account.equity_quote == witness.equity_quote:
            continue
        found = split(account, spec, shelf_of(other, spec, HISTORY + bar + 1))
        assert found.total == pytest.approx(account.equity_quote - witness.equity_quote, abs=1e-8)
        held += bool(held_on_paper(account, account.last_bar_ms or 0))
    assert held > 5, "an account that holds nothing proves nothing"


def test_a_carry_that_is_open_differs_by_its_price_its_fee_and_its_funding(home: Home) -> None:
    lab, spec = lab_in(home, "carry")
    lab.play(60)
    account = account_of(lab, spec)
    (held,) = held_on_paper(account, account.last_bar_ms or 0)
    assert (held.entry_ms, held.side, account.trades) == (account.book["entry_ms"], 0, [])
    assert held.pnl_quote == pytest.approx(account.equity_quote - account.starting_quote)
    assert held.fees_quote == pytest.approx(account.fees_quote)
    assert held.funding_quote == pytest.approx(account.funding_quote)
    perp = lab.live.tapes[Market.PERP]
    dearer = make_tape(replace(perp, funding=replace(perp.funding, rate=perp.funding.rate * 1.5)))
    lab.live.tapes[Market.PERP] = dearer
    found = split(account, spec, shelf_of(lab, spec, HISTORY + 60))
    assert found.funding == pytest.approx(-0.5 * held.funding_quote)
    assert found.total == pytest.approx(found.funding)


def test_where_paper_has_gone_on_since_the_whole_is_still_the_difference(home: Home) -> None:
    lab, spec = lab_in(home, "carry")
    lab.play(40)
    at_40 = account_of(lab, spec).equity_quote
    lab.play(30)
    other, _ = lab_in(Home(home.root / "other").make(), "carry")
    other.live.tapes[Market.PERP] = bent(lab.live.tapes[Market.PERP], HISTORY + 20, 0.001)
    other.play(40)
    witness = account_of(other, spec).equity_quote
    found = split(account_of(lab, spec), spec, shelf_of(other, spec, HISTORY + 40))
    assert found.total == pytest.approx(at_40 - witness, abs=1e-8)
    assert abs(found.total) > 0.01


def test_a_mark_that_is_no_longer_kept_tells_nothing_of_what_was_held(home: Home) -> None:
    lab, spec = lab_in(home, "carry")
    lab.play(30)
    assert held_on_paper(account_of(lab, spec), START_MS) == []
