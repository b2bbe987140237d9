"""Fills learn: from the journal of a carry to what backtests charge and the desk weighs, by the job of the night."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from ai_brain.desk.learned_file import learned_file, read_learned, write_learned
from ai_brain.desk.learned_fills import LearnedFills
from ops.jobs import fills
from ops.judgement.costs_in_force import carry_in_force, conditions_for, paper_terms
from ops.nightly.fill_lessons import Seen, learn
from ops.nightly.fills import see
from ops.nightly.fills_command import fill_lines, run_fills
from ops.service.lab import Lab
from ops.settings import LabSettings
from tests.ai_brain.tapes import END_MS, HOUR_MS, wandering_tape
from tests.conftest import DATA, needs_data
from tests.ops.world import CARRY, RULES
from tests.trading.funding.sandbox_rig import START_MS, world
from trading.domain.clock import StandingClock
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import Book, Quote
from trading.domain.orders import Order, OrderState, OrderStatus, OrderType, Side
from trading.exchange.recorded_looks import Looks
from trading.execution.intent_records import Purpose
from trading.execution.intents import Intents
from trading.funding.carry_settings import CarrySettings
from trading.market.importers import import_recorded
from trading.market.tape import Tape
from trading.simulator.costs import FITTED_K, MarketRules
from trading.storage.home import Home
from trading.strategy.spec import load_spec

D = Decimal
SYMBOL = "BTCUSDT"
SETTINGS = LabSettings()
DESK_SETTINGS = CarrySettings()


class Desk:
    """As much of a desk as is told what to weigh."""

    def __init__(self) -> None:
        self.carry = DESK_SETTINGS

    def weigh(self, carry: CarrySettings) -> None:
        self.carry = carry


class Shelf:
    """Recorded bars of some markets."""

    def __init__(self, *tapes: Tape) -> None:
        self.tapes = {(tape.market, tape.symbol): tape for tape in tapes}

    async def tape(self, market: Market, symbol: str, interval: str) -> Tape:
        if (market, symbol) not in self.tapes:
            raise DataProviderError(f"{market} {symbol} {interval}: not recorded")
        return self.tapes[market, symbol]


def lab_of(home: Home, *tapes: Tape, now_ms: int = END_MS) -> tuple[Lab, list[tuple[str, dict[str, object]]]]:
    """As much of a lab as the job asks, and what it tells."""
    heard: list[tuple[str, dict[str, object]]] = []
    lab = SimpleNamespace(
        home=home,
        settings=SETTINGS,
        clock=StandingClock(now_ms, real_s=0.0),
        turn=asyncio.Lock(),
        desk=Desk(),
        symbols=(SYMBOL,),
        history=Shelf(*tapes),
        tell=lambda name, facts: heard.append((name, dict(facts))),
    )
    return cast(Lab, lab), heard


def weeks_of_fills(home: Home, beyond_bps: float, *, sagas: int = 40, base: str = "1") -> None:
    """A saga every ten hours: both legs taken at so much beyond their best price, with a maker order before them."""
    key = (beyond_bps, sagas, base)
    if key not in WRITTEN:
        write_sagas(home.intents_file, beyond_bps, sagas, D(base))
        WRITTEN[key] = home.intents_file.read_bytes()
    home.intents_file.write_bytes(WRITTEN[key])


WRITTEN: dict[tuple[float, int, str], bytes] = {}
"""Journals that were written once: every line of one is fsynced."""


def write_sagas(path: Path, beyond_bps: float, sagas: int, size: Decimal) -> None:
    intents, rng = Intents(path), np.random.default_rng(1)
    for number in range(sagas):
        at_ms = END_MS - (sagas - number) * 10 * HOUR_MS + 1000
        intent = intents.begin(f"c-{number}", Purpose.OPEN, SYMBOL, (size, size), leverage=1, at_ms=at_ms)
        for market, side in ((Market.SPOT, Side.BUY), (Market.PERP, Side.SELL)):
            base = Order("", market, SYMBOL, side, OrderType.POST_ONLY, size, D(30_000))
            rested = intents.write_ahead(intent.id, base, slice_number=0, at_ms=at_ms)
            ended = OrderStatus.FILLED if number % 4 == 0 else OrderStatus.CANCELLED
            filled = size if ended is OrderStatus.FILLED else D(0)
            state = OrderState(rested.order, "v", ended, filled, D(30_000) if filled else None, at_ms)
            intents.learned(rested.order.client_id, state, at_ms=at_ms + 20_000)
            quote = Quote(market, SYMBOL, 29_994.0, 30_006.0, 1.0, 1.0, at_ms)
            draft = replace(base, type=OrderType.LIMIT_IOC)
            taken = intents.write_ahead(intent.id, draft, slice_number=1, at_ms=at_ms, seen=quote)
            touch = 30_000 + 6 * side.sign
            price = D(str(touch * (1 + side.sign * (beyond_bps + 0.2 * rng.normal()) * 1e-4)))
            state = OrderState(taken.order, "w", OrderStatus.FILLED, size, price, at_ms)
            intents.learned(taken.order.client_id, state, at_ms=at_ms + 100)


def both_tapes() -> tuple[Tape, Tape]:
    return wandering_tape(market=Market.SPOT), wandering_tape(market=Market.PERP, seed=8)


async def test_dear_fills_make_backtests_and_the_carrys_decision_dearer_from_that_night_on(home: Home) -> None:
    weeks_of_fills(home, 10.0)
    lab, heard = lab_of(home, *both_tapes())
    await fills.run(lab)
    learned = read_learned(home)
    assert learned is not None
    assert [(r.market, r.n, r.sagas, r.is_enough) for r in learned.slippage] == [
        ("perp", 40, 40, True),
        ("spot", 40, 40, True),
    ]
    spec = load_spec(CARRY.encode(), where="test")
    conditions, plain = conditions_for(home, SETTINGS, spec, MarketRules()), SETTINGS.carry_costs()
    for leg, was, ratio in (
        (conditions.carry_costs.spot, plain.spot, learned.ratio_of("spot", SYMBOL)),
        (conditions.carry_costs.perp, plain.perp, learned.ratio_of("perp", SYMBOL)),
    ):
        assert ratio is not None
        assert ratio.assumed > 1.0
        assert leg.impact_k == pytest.approx(ratio.assumed * was.impact_k)
        assert leg.half_spread_rate == pytest.approx(ratio.assumed * was.half_spread_rate)
        assert leg.taker_rate == was.taker_rate
    assert conditions.slippage is not None
    assert learned.version in conditions.slippage.source
    # 10 basis points beyond the best price, against the 0.5 of the settings: the dear end is weighed, everywhere
    weighed = cast(Desk, lab.desk).carry.impact_bps
    assert 9.5 < weighed < 11.0
    assert conditions.carry_costs.weights.impact_rate == pytest.approx(weighed / 10_000)
    ((name, facts),) = heard
    assert (name, facts["version"], facts["before"]) == ("fills.learned", learned.version, "nothing")
    assert "slippage of perp BTCUSDT 1 to " in str(facts["changes"])
    await fills.run(lab)
    assert heard[-1][1]["before"] == learned.version


async def test_cheap_fills_lower_what_is_charged_to_the_dear_end_of_their_interval_and_no_further(home: Home) -> None:
    weeks_of_fills(home, 0.2)
    lab, _ = lab_of(home, *both_tapes())
    await fills.run(lab)
    learned = read_learned(home)
    assert learned is not None
    for ratio in learned.slippage:
        assert ratio.ratio < ratio.assumed == ratio.high < 1.0
    spec = load_spec(RULES.encode(), where="test")
    conditions = conditions_for(home, SETTINGS, spec, MarketRules())
    assert conditions.costs.impact_k < FITTED_K
    assert conditions.slippage is not None
    (leg,) = conditions.slippage.legs
    assert (leg.n, leg.high) == (40, 1.0)
    assert 0.0 <= leg.low < 1.0
    assert cast(Desk, lab.desk).carry.impact_bps < DESK_SETTINGS.impact_bps


async def test_a_handful_of_fills_changes_nothing_and_the_table_says_not_enough_data(home: Home) -> None:
    weeks_of_fills(home, 10.0, sagas=6)
    lab, heard = lab_of(home, *both_tapes())
    await fills.run(lab)
    assert heard[0][1]["changes"] == "nothing that is charged has changed"
    assert cast(Desk, lab.desk).carry == DESK_SETTINGS
    told = "\n".join(fill_lines(home))
    assert "not enough data" in told
    assert "1.00" in told


async def test_where_there_is_nothing_to_learn_from_nothing_is_written_and_the_law_is_charged(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab, heard = lab_of(home)
    await fills.run(lab)
    assert (heard, read_learned(home)) == ([], None)
    monkeypatch.setenv("LAB_HOME", str(home.root))
    assert run_fills() == 0
    assert "Nothing learned from own fills yet" in capsys.readouterr().out
    conditions = conditions_for(home, SETTINGS, load_spec(RULES.encode(), where="test"), MarketRules())
    assert conditions.costs == SETTINGS.fees.costs(Market.PERP)
    assert conditions.slippage is not None
    assert "346 spot and 335 perpetual books" in conditions.slippage.source
    assert carry_in_force(SETTINGS, None, SYMBOL) is SETTINGS.carry


async def test_a_market_without_its_bars_waits_and_is_named(home: Home) -> None:
    weeks_of_fills(home, 10.0)
    lab, heard = lab_of(home, both_tapes()[0])
    await fills.run(lab)
    learned = read_learned(home)
    assert learned is not None
    assert ([r.market for r in learned.slippage], learned.barless) == (["spot"], 40)
    assert heard[0] == ("fills.no_bars", {"market": "perp BTCUSDT", "why": "perp BTCUSDT 1h: not recorded"})


async def test_the_table_says_how_often_makers_were_filled_with_n_and_interval(home: Home) -> None:
    weeks_of_fills(home, 10.0)
    lab, _ = lab_of(home, *both_tapes())
    await fills.run(lab)
    told = fill_lines(home)
    (line,) = [line for line in told if line.startswith("perp BTCUSDT  own slices") and " 60 s" in line]
    assert line.split()[-5:] == ["10", "(25%)", "14%", "to", "40%"]
    (early,) = [line for line in told if line.startswith("perp BTCUSDT  own slices") and " 15 s" in line]
    assert "0 (0%)" in early  # they were filled after 20


async def test_cheap_small_orders_lower_nothing_for_large_ones_and_dear_small_ones_count(home: Home) -> None:
    spec = load_spec(RULES.encode(), where="test")
    for beyond_bps, is_dear in ((-2.5, False), (10.0, True)):
        weeks_of_fills(home, beyond_bps, base="0.01")  # 300 USDT
        learned_file(home).unlink(missing_ok=True)
        lab, _ = lab_of(home, *both_tapes())
        await fills.run(lab)
        learned = read_learned(home)
        assert learned is not None
        assert all((ratio.assumed < 1.0) is not is_dear for ratio in learned.slippage)
        conditions = conditions_for(home, SETTINGS, spec, MarketRules())
        assert (conditions.costs.impact_k > FITTED_K) is is_dear
        assert (conditions.costs.impact_k == FITTED_K) is not is_dear
        assert (cast(Desk, lab.desk).carry.impact_bps > 0.5) is is_dear
        terms = paper_terms(home, SETTINGS, spec)
        assert (terms is not None) is is_dear
        if terms is not None:
            assert terms.version == learned.version
            assert terms.slippage > 1.0


def test_dear_recorded_books_raise_what_is_charged_before_the_first_own_order_and_thin_ones_say_nothing(
    home: Home,
) -> None:
    spot, _ = both_tapes()
    looks, thin = Looks(), Looks()
    for number in range(40):
        at_ms = END_MS - (number // 3) * HOUR_MS - 120_000 * (number % 3) - 600_000
        gap = 60.0 + number % 2
        sides = ((30_000.0 - gap, 5.0),), ((30_000.0 + gap, 5.0),)
        looks.books.append(Book(Market.SPOT, SYMBOL, *sides, at_ms))
        thin.books.append(Book(Market.PERP, SYMBOL, ((29_999.0, 0.01),), ((30_001.0, 0.01),), at_ms))
    seen = Seen((), {(Market.SPOT, SYMBOL): looks, (Market.PERP, SYMBOL): thin})
    learned = learn(seen, {(Market.SPOT, SYMBOL): spot}, SETTINGS, None, at_ms=END_MS)
    (book,) = learned.books
    assert (book.market, book.notional_quote, book.hours >= 10) == ("spot", 10_000.0, True)
    (ratio,) = learned.slippage
    assert ratio.assumed == book.prior == book.measured > 2.0  # 20 basis points, in a law of three
    assert (ratio.n, ratio.is_enough) == (0, False)
    write_learned(home, learned)
    assert f"the prior is {book.prior:.2f}, by the median of the last night" in "\n".join(fill_lines(home))
    assert fills.changed(learned, None) == [
        f"slippage of spot BTCUSDT 1 to {book.prior:.3g} times the model's, by recorded books {book.prior:.3g} "
        f"({ratio.low:.3g} to {ratio.high:.3g})"
    ]
    (back,) = fills.changed(LearnedFills(as_of_ms=END_MS), learned)
    assert back.startswith(f"slippage of spot BTCUSDT {book.prior:.3g} to 1 times the model's, by recorded books 1 ")


def test_books_too_thin_for_the_order_are_charged_what_their_last_level_says_and_not_left_out() -> None:
    spot, _ = both_tapes()
    deep, thin = Looks(), Looks()
    for number in range(40):
        at_ms = END_MS - (number // 3) * HOUR_MS - 120_000 * (number % 3) - 600_000
        best = ((29_991.0, 5.0),), ((30_009.0, 5.0),)
        deep.books.append(Book(Market.SPOT, SYMBOL, *best, at_ms))
        if number % 2:  # 9,000 of 10,000 USDT are to be seen, half of them 50 basis points away
            best = ((29_991.0, 0.15), (29_850.0, 0.15)), ((30_009.0, 0.15), (30_150.0, 0.15))
        thin.books.append(Book(Market.SPOT, SYMBOL, *best, at_ms))
    told = []
    for looks in (deep, thin):
        seen = Seen((), {(Market.SPOT, SYMBOL): looks})
        (books,) = learn(seen, {(Market.SPOT, SYMBOL): spot}, SETTINGS, None, at_ms=END_MS).books
        told.append(books)
    assert [books.n for books in told] == [80, 80]
    assert told[0].prior == 1.0
    assert told[1].prior > 4.0


def test_one_dear_leg_is_not_hidden_by_cheap_ones_and_impact_has_an_end(home: Home) -> None:
    weeks_of_fills(home, 0.2)
    seen, tapes = see(home, 0), both_tapes()
    known = {(tape.market, tape.symbol): tape for tape in tapes}
    cheap = learn(seen, known, SETTINGS, None, at_ms=END_MS)
    assert carry_in_force(SETTINGS, cheap, SYMBOL).impact_bps < 0.5
    assert carry_in_force(SETTINGS, cheap, SYMBOL, "ETHUSDT").impact_bps == 0.5
    dear = tuple(r.model_copy(update={"assumed": 50.0, "ratio": 50.0, "high": 50.0}) for r in cheap.impact)
    learned = LearnedFills(as_of_ms=END_MS, impact=dear)
    write_learned(home, learned)
    large = LabSettings(carry=CarrySettings(impact_bps=90.0))
    assert carry_in_force(large, read_learned(home), SYMBOL).impact_bps == 100.0


@needs_data
async def test_the_fills_of_a_carry_on_the_sandbox_are_learned_from(home: Home) -> None:
    async with world(home) as here:
        desk = here.desk()
        await here.cycle(desk)
        assert desk.store.lives
        now_ms = here.clock.now_ms()
    seen = see(home, START_MS)
    tapes = {
        (market, SYMBOL): import_recorded(DATA, market, SYMBOL, "1h", START_MS - 400 * HOUR_MS, START_MS)
        for market in Market
    }
    assert set(seen.markets) <= set(tapes)
    assert seen.markets
    learned = learn(seen, tapes, SETTINGS, None, at_ms=now_ms)
    assert learned.blind == learned.barless == 0
    assert sum(r.n for r in learned.slippage) == sum(r.n for r in learned.impact) >= 1
    assert all(r.measured is not None and not r.is_enough and r.assumed == 1.0 for r in learned.slippage)
    assert any(share.source == "own slices" and share.n for share in learned.maker)
    write_learned(home, learned)
    assert read_learned(home) == learned
