"""Paper trading: the simulator's own step, bar by bar, over restarts, and fail-closed on data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ai_brain.paper.account import account_path, load_account, save_account
from ai_brain.paper.book import BookStep
from ai_brain.paper.books import terms
from ai_brain.paper.outcome import PaperPosition, PaperStatus
from ai_brain.paper.review import ReviewReason
from ai_brain.paper.rule_book import RuleBook
from tests.ai_brain.markets import HOUR_MS, START_MS, carry_spec, rule_spec
from tests.ai_brain.paper_lab import HISTORY, Lab, basis_spec, carry_lab, rule_lab, without_spot_bar
from trading.domain.errors import StateFileError
from trading.domain.instrument import Market
from trading.market.beside import beside_spot
from trading.market.tape import Funding, make_tape
from trading.simulator.costs import MarketRules
from trading.simulator.simulate import simulate
from trading.storage.home import Home


def test_history_warms_the_indicators_up_but_is_never_traded(home: Home) -> None:
    lab = rule_lab(home)
    spec = lab.add(rule_spec())
    (outcome,) = lab.engine.on_closed_bar(lab.live)
    assert outcome.status is PaperStatus.NO_NEW_BAR
    lab.play(100)
    account = load_account(home, spec.id)
    assert account is not None
    assert account.returns.n == 100
    assert account.trades
    assert all(trade.entry_ms >= START_MS + HISTORY * HOUR_MS for trade in account.trades)


def test_bars_stepped_one_by_one_or_caught_up_at_once_end_in_the_same_bits(home: Home) -> None:
    lab = rule_lab(home)
    spec = lab.add(rule_spec())
    lab.play(200)
    one_by_one = load_account(home, spec.id)
    other = rule_lab(Home(home.root / "other").make())
    other.add(rule_spec())
    other.engine.on_closed_bar(other.live)
    other.live.shown += 200
    other.engine.on_closed_bar(other.live)
    at_once = load_account(other.home, spec.id)
    assert one_by_one is not None
    assert at_once is not None
    assert one_by_one.curve == at_once.curve
    assert one_by_one.trades == at_once.trades
    assert one_by_one.book == at_once.book


@pytest.mark.parametrize("kind", ["rules", "carry", "basis"])
def test_a_restart_after_every_bar_changes_nothing(home: Home, kind: str) -> None:
    def lab_in(folder: Home) -> Lab:
        lab = rule_lab(folder) if kind == "rules" else carry_lab(folder)
        lab.add({"rules": rule_spec, "carry": carry_spec, "basis": basis_spec}[kind]())
        lab.engine.on_closed_bar(lab.live)
        return lab

    steady, shaken = lab_in(home), lab_in(Home(home.root / "other").make())
    steady.play(150)
    shaken.play(150, each=shaken.restart)
    (spec,) = steady.repository.all()
    one, two = (account_path(lab.home, spec.id).read_bytes() for lab in (steady, shaken))
    assert one == two
    assert load_account(home, spec.id).returns.n == 150  # type: ignore[union-attr]


def test_killed_between_the_bar_and_its_file_the_bar_is_stepped_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = rule_lab(home)
    spec = lab.add(rule_spec())
    lab.play(60)
    before = account_path(home, spec.id).read_bytes()

    def full_disk(*_: object) -> None:
        raise StateFileError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr("ai_brain.paper_trading_engine.save_account", full_disk)
        lab.live.shown += 1
        with pytest.raises(StateFileError, match="no space left"):
            lab.engine.on_closed_bar(lab.live)
    assert account_path(home, spec.id).read_bytes() == before
    lab.play(40)
    told = [event.facts["bar_ms"] for event in lab.events("paper.equity")]
    assert told == [START_MS + (HISTORY + n) * HOUR_MS for n in range(101)]  # each bar once, the failed one too
    other = rule_lab(Home(home.root / "other").make())
    other.add(rule_spec())
    other.play(101)
    assert account_path(home, spec.id).read_bytes() == account_path(other.home, spec.id).read_bytes()


def test_a_process_killed_in_the_middle_of_its_bars_resumes_to_the_bit(home: Home, tmp_path: Path) -> None:
    lab = rule_lab(home)
    spec = lab.add(rule_spec())
    lab.engine.on_closed_bar(lab.live)
    program = tmp_path / "killed.py"
    program.write_text(
        "import os, pathlib, sys\n"
        "from tests.ai_brain import paper_lab as t\n"
        "from trading.storage.home import Home\n"
        "import ai_brain.paper_trading_engine as engine\n"
        "lab = t.Lab(Home(pathlib.Path(sys.argv[1])), t.Live({t.Market.PERP: t.planted(1200, 3, edge=0.006)}))\n"
        "saved, save = [], engine.save_account\n"
        "def counted(home, account):\n"
        "    if len(saved) == 73: os.kill(os.getpid(), 9)\n"
        "    saved.append(1); save(home, account)\n"
        "engine.save_account = counted\n"
        "lab.live.shown += 200\n"
        "lab.engine.on_closed_bar(lab.live)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, str(program), str(home.root)],
        check=False,
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}/src:{root}"},
    )
    assert done.returncode == -9
    half = load_account(home, spec.id)
    assert half is not None
    assert half.returns.n == 73
    lab.restart()
    lab.live.shown += 200
    lab.engine.on_closed_bar(lab.live)
    other = rule_lab(Home(home.root / "other").make())
    other.add(rule_spec())
    other.engine.on_closed_bar(other.live)
    other.live.shown += 200
    other.engine.on_closed_bar(other.live)
    assert account_path(home, spec.id).read_bytes() == account_path(other.home, spec.id).read_bytes()


def test_what_is_told_is_what_happened(home: Home) -> None:
    lab = rule_lab(home)
    spec = lab.add(rule_spec())
    lab.play(200)
    account = load_account(home, spec.id)
    assert account is not None
    closed = lab.events("paper.trade_closed")
    assert [event.facts["pnl_quote"] for event in closed] == [trade.pnl_quote for trade in account.trades]
    assert len(lab.events("paper.trade_opened")) in (len(closed), len(closed) + 1)
    assert len(lab.events("paper.equity")) == 200
    assert lab.events("paper.equity")[-1].facts["equity_quote"] == account.equity_quote


def test_equity_is_start_plus_trades_and_the_file_tells_it_to_the_strategy(home: Home) -> None:
    lab = rule_lab(home)
    spec = lab.add(rule_spec())
    lab.play(300)
    account = load_account(home, spec.id)
    assert account is not None
    (position,) = lab.engine.positions()
    assert not position.holding
    assert account.equity_quote == pytest.approx(10_000 + sum(t.pnl_quote for t in account.trades), abs=1e-8)
    assert position.cash_quote == account.equity_quote
    block = lab.repository.get(spec.id).performance.dry_run
    assert (block["trades"], block["net_return"]) == (len(account.trades), account.equity_quote / 10_000 - 1)


def test_books_that_do_not_add_up_park_the_strategy_with_an_alert(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = rule_lab(home)
    spec = lab.add(rule_spec())
    lab.play(5)
    step = RuleBook.step

    def off(*args: object, **kwargs: object) -> BookStep:
        return replace(step(*args, **kwargs), identity_error_quote=1e-4)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr(RuleBook, "step", off)
        lab.play(1)
    (alert,) = lab.events("paper.parked")
    assert alert.severity.value == "notice"
    assert "equity identity" in str(alert.facts["reason"])
    lab.restart()
    lab.live.shown += 1
    (outcome,) = lab.engine.on_closed_bar(lab.live)
    assert outcome.status is PaperStatus.PARKED
    assert lab.engine.ready_for_review(spec).reason is ReviewReason.PAPER_PARKED
    (position,) = lab.engine.positions()
    assert position.holding.startswith("parked: ")
    assert position.cash_quote is None, "its books are shut: no part is made up"


def test_data_the_validator_blocks_is_not_stepped_on_and_said_once(home: Home) -> None:
    lab = rule_lab(home)
    spec = lab.add(rule_spec())
    lab.play(10)
    lab.live.why_blocked = "quality 31 of 100"
    for _ in range(3):
        lab.live.shown += 1
        (outcome,) = lab.engine.on_closed_bar(lab.live)
        assert (outcome.status, outcome.bars) == (PaperStatus.BLOCKED, 0)
        assert "quality 31" in outcome.note
    assert len(lab.events("paper.blocked")) == 1
    lab.live.why_blocked = None
    (outcome,) = lab.engine.on_closed_bar(lab.live)
    assert (outcome.status, outcome.bars) == (PaperStatus.STEPPED, 3)
    assert len(lab.events("paper.resumed")) == 1
    assert load_account(home, spec.id).returns.n == 13  # type: ignore[union-attr]


def test_a_hole_is_waited_for_and_later_taken_as_a_gap(home: Home) -> None:
    lab = rule_lab(home)
    lab.add(rule_spec())
    lab.play(10)
    whole = lab.live.tapes[Market.PERP]
    missing = HISTORY + 10
    kept = [i for i in range(len(whole)) if i != missing]
    columns = {name: getattr(whole, name)[kept] for name in ("open_time_ms", "open", "high", "low", "close")}
    lab.live.tapes[Market.PERP] = make_tape(replace(whole, volume_base=whole.volume_base[kept], **columns))
    lab.restart()
    lab.live.shown += 2
    (outcome,) = lab.engine.on_closed_bar(lab.live)
    assert (outcome.status, outcome.bars) == (PaperStatus.BLOCKED, 0)
    assert "missing" in outcome.note
    lab.live.shown += 8
    lab.restart()
    (outcome,) = lab.engine.on_closed_bar(lab.live)
    assert (outcome.status, outcome.bars) == (PaperStatus.STEPPED, 9)


def test_rules_of_the_basis_trade_on_paper_what_the_backtest_over_both_markets_trades(home: Home) -> None:
    lab = carry_lab(home)
    spec = lab.add(basis_spec())
    lab.engine.on_closed_bar(lab.live)
    lab.play(300)
    account = load_account(home, spec.id)
    assert account is not None
    assert len(account.trades) > 10
    assert account.warm_from_ms is not None
    perp, spot = (lab.live.tape(market, "", "", start_ms=account.warm_from_ms) for market in (Market.PERP, Market.SPOT))
    assert perp is not None
    assert spot is not None
    costs, rules = terms(lab.settings, MarketRules())
    begin_ms = START_MS + HISTORY * HOUR_MS
    whole = simulate(beside_spot(perp, spot), spec, costs=costs, rules=rules, begin_ms=begin_ms)
    assert [trade.pnl_quote for trade in account.trades] == whole.trades["pnl"].tolist()
    assert [quote for _, quote in account.curve] == whole.equity.tolist()


@pytest.mark.parametrize("only", list(Market))
def test_rules_of_the_basis_wait_when_either_market_is_blocked(home: Home, only: Market) -> None:
    lab = carry_lab(home)
    lab.add(basis_spec())
    lab.engine.on_closed_bar(lab.live)
    lab.play(5)
    lab.live.why_blocked, lab.live.only = "quality 31 < 50", only
    lab.live.shown += 1
    (outcome,) = lab.engine.on_closed_bar(lab.live)
    assert (outcome.status, outcome.note) == (PaperStatus.BLOCKED, f"{only} BTCUSDT 1h: quality 31 < 50")


def test_rules_of_the_basis_step_no_bar_that_spot_has_not_reached(home: Home) -> None:
    lab = carry_lab(home)
    spec = lab.add(basis_spec())
    lab.engine.on_closed_bar(lab.live)
    whole = lab.live.tapes[Market.SPOT]
    lab.live.tapes[Market.SPOT] = whole.window(START_MS, START_MS + (HISTORY + 4) * HOUR_MS)
    lab.play(6)
    assert load_account(home, spec.id).returns.n == 4  # type: ignore[union-attr]
    lab.live.tapes[Market.SPOT] = whole
    (outcome,) = lab.engine.on_closed_bar(lab.live)
    assert (outcome.status, outcome.bars) == (PaperStatus.STEPPED, 2)


def test_a_spot_bar_that_is_missing_is_waited_for_and_later_the_bar_has_no_basis(home: Home) -> None:
    lab = carry_lab(home)
    spec = lab.add(basis_spec())
    lab.engine.on_closed_bar(lab.live)
    lab.play(10)
    without_spot_bar(lab, HISTORY + 10)
    lab.restart()
    lab.live.shown += 2
    (outcome,) = lab.engine.on_closed_bar(lab.live)
    assert (outcome.status, outcome.bars) == (PaperStatus.BLOCKED, 0)
    assert outcome.note.startswith("spot has no bar of 2023-11-20T10:00:00Z; waiting")
    lab.live.shown += 8
    lab.restart()
    (outcome,) = lab.engine.on_closed_bar(lab.live)
    assert (outcome.status, outcome.bars) == (PaperStatus.STEPPED, 10)
    account = load_account(home, spec.id)
    assert account is not None
    assert account.no_spot_ms == [START_MS + (HISTORY + 10) * HOUR_MS]


def test_at_most_so_many_positions_are_open_over_all_accounts(home: Home) -> None:
    lab = rule_lab(home, max_positions=2)
    for number in range(4):
        lab.add(rule_spec(f"roc(1) < -{1.0 + number / 100}", max_hold_bars=12))
    most = 0

    def count() -> None:
        nonlocal most
        most = max(most, sum(bool(position.holding) for position in lab.engine.positions()))

    lab.play(120, each=count)
    assert most == 2
    refused = lab.events("paper.entry_refused")
    assert refused
    assert refused[0].facts["reason"] == "MAX_POSITIONS"


def test_changed_parameters_do_not_inherit_an_account(home: Home) -> None:
    lab = rule_lab(home)
    spec = lab.add(rule_spec())
    lab.play(5)
    path = next(home.strategies.glob("*/*.json"))
    data = json.loads(path.read_bytes())
    data["parameters"]["entry_long"] = ["roc(1) < -0.1"]
    path.write_text(json.dumps(data, indent=2) + "\n")
    lab.play(1)
    assert "parameters changed" in str(lab.events("paper.parked")[0].facts["reason"])
    assert load_account(home, spec.id).parked  # type: ignore[union-attr]


def test_a_broken_account_is_set_aside_and_does_not_begin_anew(home: Home) -> None:
    lab = rule_lab(home)
    spec = lab.add(rule_spec())
    lab.play(5)
    account_path(home, spec.id).write_text('{"schema": 1}')
    for _ in range(2):
        lab.restart()
        lab.live.shown += 1
        (outcome,) = lab.engine.on_closed_bar(lab.live)
        assert outcome.status is PaperStatus.PARKED
        assert "set aside" in outcome.note
        assert lab.engine.performance(spec.id) is None, "the report of all others goes on"
        assert lab.engine.curve(spec.id) == []
        assert lab.engine.ready_for_review(spec).reason is ReviewReason.PAPER_PARKED
    assert not account_path(home, spec.id).exists()


def test_a_carry_books_each_settlement_once_and_lives_on_them(home: Home) -> None:
    lab = carry_lab(home)
    spec = lab.add(carry_spec())
    lab.engine.on_closed_bar(lab.live)
    lab.play(300)
    account = load_account(home, spec.id)
    assert account is not None
    settled = lab.events("paper.settlement")
    assert account.settlements == sum(int(str(event.facts["settlements"])) for event in settled)
    assert 30 <= account.settlements <= 38
    assert len(account.results) == account.settlements
    assert account.funding_quote == pytest.approx(
        sum(float(str(event.facts["funding_quote"])) for event in settled), rel=1e-9
    )
    assert account.funding_quote > 0
    assert account.equity_quote > 10_000
    (position,) = lab.engine.positions()
    assert "carry" in position.holding
    assert position.equity_quote == pytest.approx(
        position.cash_quote + position.positions_quote + position.unrealised_quote, rel=1e-12
    )
    assert lab.engine.ready_for_review(spec).reason is ReviewReason.EVIDENCE_NOT_APPROVED
    performance = lab.engine.performance(spec.id)
    assert performance is not None
    assert performance.results == account.settlements
    assert performance.hours == pytest.approx(300, abs=0.01)


def off_quote(position: PaperPosition) -> float:
    """Equity less the parts it is told with."""
    assert position.cash_quote is not None
    return position.equity_quote - (position.cash_quote + position.positions_quote + position.unrealised_quote)


@pytest.mark.parametrize("kind", ["rule", "spot", "carry"])
def test_cash_is_the_steppers_own_and_with_what_is_held_it_makes_the_equity_of_the_file(home: Home, kind: str) -> None:
    lab = carry_lab(home) if kind == "carry" else rule_lab(home)
    spec = carry_spec() if kind == "carry" else rule_spec()
    if kind == "spot":
        lab.live.tapes = {Market.SPOT: replace(lab.live.tapes[Market.PERP], market=Market.SPOT, funding=Funding.none())}
        spec = spec.model_copy(update={"market": spec.market.model_copy(update={"symbol": "BTC/USDT"})})
    spec = lab.add(spec)
    lab.engine.on_closed_bar(lab.live)
    held: list[float] = []

    def look() -> None:
        (position,) = lab.engine.positions()
        assert off_quote(position) == pytest.approx(0.0, abs=1e-6)
        held.append(position.positions_quote + abs(position.unrealised_quote))

    lab.play(150, each=look)
    assert any(held), "nothing was ever held, so nothing was looked at"
    account = load_account(home, spec.id)
    assert account is not None
    account.equity_quote += 5.0
    save_account(home, account)
    lab.restart()
    lab.engine.on_closed_bar(lab.live)
    (position,) = lab.engine.positions()
    assert off_quote(position) == pytest.approx(5.0, abs=1e-6)


def test_an_account_that_missed_no_bar_is_a_file_that_an_older_lab_reads(home: Home) -> None:
    """It knew no `missed_ms`, and refuses names it does not know; an update may be rolled back to it."""
    lab = carry_lab(home)
    spec = lab.add(carry_spec())
    lab.engine.on_closed_bar(lab.live)
    assert "missed_ms" not in json.loads(account_path(home, spec.id).read_text())
    account = load_account(home, spec.id)
    assert account is not None
    account.missed_ms.append(START_MS)
    save_account(home, account)
    again = load_account(home, spec.id)
    assert again is not None
    assert again.missed_ms == [START_MS]


def test_a_settlement_that_is_due_and_not_known_yet_is_waited_for(home: Home) -> None:
    lab = carry_lab(home)
    spec = lab.add(carry_spec())
    lab.engine.on_closed_bar(lab.live)
    lab.play(150)
    whole = lab.live.tapes[Market.PERP]
    known = whole.funding.time_ms <= START_MS + lab.live.shown * HOUR_MS
    late = Funding(whole.funding.time_ms[known], whole.funding.rate[known], whole.funding.mark_price[known])
    lab.live.tapes[Market.PERP] = make_tape(replace(whole, funding=late))
    statuses = []
    for _ in range(12):
        lab.live.shown += 1
        (outcome,) = lab.engine.on_closed_bar(lab.live)
        statuses.append(outcome.status)
    assert PaperStatus.BLOCKED in statuses
    assert "funding" in outcome.note
    before = load_account(home, spec.id)
    assert before is not None
    lab.live.tapes[Market.PERP] = whole
    (outcome,) = lab.engine.on_closed_bar(lab.live)
    after = load_account(home, spec.id)
    assert after is not None
    assert (outcome.status, after.returns.n) == (PaperStatus.STEPPED, 162)
    assert after.settlements > before.settlements


def test_a_strategy_never_on_paper_is_not_reviewed(home: Home) -> None:
    lab = rule_lab(home)
    assert lab.engine.ready_for_review(rule_spec()).reason is ReviewReason.NO_PAPER_ACCOUNT
    assert lab.engine.performance("mr-20240101-000000") is None
    assert lab.engine.curve("mr-20240101-000000") == []
