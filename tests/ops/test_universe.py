"""`./lab universe`, and what a backtest makes of it: filters as of its first bar, and an end where the market ended."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from ops.jobs.universe import as_listed
from ops.judgement.backtest import Stretch, market_for, not_charged, run_backtest, run_verify, until_settled
from ops.universe.known_rules import rules_for
from ops.universe.record import record, source_of
from ops.universe.saved import run_import, run_list, run_show
from tests.conftest import DATA, needs_data
from tests.trading.market.test_universe import FIRST_MS, day, listed, perp, spot
from trading.domain.clock import Clock, iso, parse_iso
from trading.domain.errors import DataProviderError, SettingsError
from trading.domain.instrument import Instrument, Market
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.market.delisting import ended, flat_tail
from trading.market.funding_schedule import Told
from trading.market.importers import import_recorded
from trading.market.store import TapeStore
from trading.market.synthetic import Plan, synthetic_market
from trading.market.tape import Funding, Tape, make_tape
from trading.market.universe import Span, Universe
from trading.market.universe_snapshot import Snapshot, of_document
from trading.market.universe_store import UniverseStore
from trading.storage.home import Home
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec, load_spec

PAYLOADS = DATA / "payloads" / "binance_rest"
HOUR_MS, DAYS = 3_600_000, 40
ALL = Stretch(None, None, None)
SPEC = """{
  "id": "%s-20240601-000000", "name": "%s", "type": "%s",
  "market": {"exchange": "binance", "symbol": "BTC/USDT:USDT", "timeframe": "1h"},
  "parameters": %s,
  "performance": {"backtest": {}, "dry_run": {}, "live": {}}, "status": "testing", "stage": "generated",
  "created_at": "2024-06-01T00:00:00Z", "approved_at": null, "origin": {"author": "test", "thesis": "test"},
  "history": []
}"""
DIPS = SPEC % (
    "mr", "Dips", "mean_reversion",
    '{"entry_long": ["rsi(14) < 30"], "exit_long": ["rsi(14) > 55"], "risk": {"position_pct": 20, "leverage": 1}}',
)  # fmt: skip
CARRY = SPEC % (
    "fc", "Carry", "funding_carry",
    '{"entry_apr_pct": 1, "exit_apr_pct": -5, "max_basis_bps": 200, "leverage": 1, "rebalance_delta_pct": 5, '
    '"min_hold_fundings": 3, "capital_pct": 90}',
)  # fmt: skip


def spec_of(text: str) -> StrategySpec:
    return load_spec(text.encode(), where="test")


def dead_from(tape: Tape, at_ms: int, *, volume: float = 0.0) -> Tape:
    """The tape as the venue goes on giving it after the end: one price, no volume."""
    first = int(np.searchsorted(tape.open_time_ms, at_ms))
    columns = {name: getattr(tape, name).copy() for name in ("open", "high", "low", "close")}
    for column in columns.values():
        column[first:] = 1.3355  # as WAVESUSDT stood after June 2024
    traded = tape.volume_base.copy()
    traded[first:] = volume
    return make_tape(replace(tape, **columns, volume_base=traded))


@pytest.fixture(scope="module")
def market() -> tuple[Tape, Tape]:
    """Forty days of spot and perpetual."""
    made = synthetic_market(Plan(start_ms=FIRST_MS, bars=24 * DAYS, seed=11))
    return made.spot, made.perp


@pytest.fixture
def lab(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    return home


def stocked(lab: Home, *tapes: Tape) -> Home:
    for tape in tapes:
        TapeStore(lab.tapes).save(tape)
    return lab


def told_by(lab: Home, *snapshots: Snapshot) -> None:
    for snapshot in snapshots:
        UniverseStore(lab.tapes).save(snapshot)


def btc(**changes: object) -> dict[str, object]:
    return perp("BTCUSDT", **changes)  # type: ignore[arg-type]


def test_a_backtest_of_a_delisted_contract_ends_when_it_did_and_says_so(
    lab: Home, market: tuple[Tape, Tape], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, contract = market
    stocked(lab, dead_from(contract, day(30)))
    told_by(lab, listed(0, btc()), listed(35, btc(status="SETTLING", delivery_ms=day(30))))
    tapes, told = market_for(lab, spec_of(DIPS), ALL)
    assert tapes.main.end_ms == day(30)
    assert tapes.main.funding.time_ms[-1] <= day(30)
    assert told[0] == "perp BTCUSDT: delisted 2024-01-31T00:00:00Z (the venue's deliveryDate), 240 later bars left out"
    path = tmp_path / "mine.json"
    path.write_text(DIPS)
    run_backtest(str(path), None, None, None)
    shown = capsys.readouterr().out
    assert f"Market: {told[0]}" in shown
    assert "2024-01-01T00:00:00Z to 2024-01-31T00:00:00Z" in shown, "the page itself ends there"
    with pytest.raises(DataProviderError, match="before the first bar; choose an earlier stretch"):
        market_for(lab, spec_of(DIPS), Stretch(None, day(31), None))


def test_a_verdict_on_a_market_that_ended_is_derived_again_bit_for_bit(
    lab: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    made = synthetic_market(Plan(start_ms=FIRST_MS, bars=24 * 120, seed=11))
    stocked(lab, made.spot, dead_from(made.perp, day(100)))
    told_by(lab, listed(-1, btc(minimum="7")), listed(110, btc(minimum="9", status="SETTLING", delivery_ms=day(100))))
    spec = spec_of(CARRY)
    StrategyRepository(lab.strategies).save(spec)
    run_backtest(spec.id, None, None, None)
    assert "480 later bars left out" in capsys.readouterr().out
    told_by(lab, listed(111, btc(minimum="11", status="SETTLING", delivery_ms=day(100))))
    assert run_verify(spec.id) == 0, "the evidence names its stretch and its rules; a snapshot of later changes neither"
    assert "same, bit for bit" in capsys.readouterr().out


def test_between_two_snapshots_the_candles_say_when_it_ended_and_without_them_the_later_one_does(
    market: tuple[Tape, Tape],
) -> None:
    _, contract = market
    between = Span(day(20), day(35), "gone")
    cut, (line,) = ended(dead_from(contract, day(30)), between)
    assert cut.end_ms == day(30)
    assert "2024-01-31T00:00:00Z, when its candles begin to stand still; between 2024-01-21" in line
    slow = dead_from(contract, day(39.5))  # half a day of silence is no evidence
    cut, (line,) = ended(dead_from(contract, day(37)), between)
    assert line.endswith("nothing was cut"), "two days of trades after it was gone contradict it"
    assert len(cut) == len(contract)
    cut, (line,) = ended(slow, Span(day(20), day(39.75), "gone"))
    assert cut.end_ms == day(39.75)
    assert line.endswith("6 later bars left out")
    assert ended(contract, Span(day(50), day(50), "later")) == (contract, ())


def test_a_flat_end_that_no_snapshot_tells_of_is_a_suspicion_and_nothing_is_cut(
    lab: Home, market: tuple[Tape, Tape]
) -> None:
    _, contract = market
    dead = dead_from(contract, day(30))
    stocked(lab, dead)
    tapes, told = market_for(lab, spec_of(DIPS), ALL)
    assert len(tapes.main) == len(dead)
    assert told[0] == (
        "perp BTCUSDT: the last 240 bars, from 2024-01-31T00:00:00Z on, have no trade and stand at 1.3355: delisted? "
        "No snapshot tells, so nothing was cut"
    )
    assert flat_tail(dead_from(contract, day(39.1))) is None
    assert flat_tail(dead_from(contract, day(38.9))) is not None
    assert flat_tail(dead_from(contract, day(30), volume=0.1)) is None
    assert flat_tail(contract) is None


@needs_data
def test_no_recorded_market_that_lives_ends_in_a_standstill() -> None:
    store = sorted({path.stem.split("_")[1] for path in DATA.glob("perp_*_1h.parquet")})
    for symbol in store:
        for side in Market:
            assert flat_tail(import_recorded(DATA, side, symbol, "1h")) is None, symbol


def test_the_filters_are_those_of_the_first_bar_and_a_change_inside_is_told_not_applied(
    lab: Home, market: tuple[Tape, Tape]
) -> None:
    stocked(lab, market[1])
    told_by(lab, listed(-3, btc(tick="0.10", minimum="5")), listed(20, btc(tick="0.10", minimum="100")))
    tapes, told = market_for(lab, spec_of(DIPS), ALL)
    rules = tapes.conditions.rules
    assert (rules.tick, rules.lot, rules.min_notional, rules.liquidation_fee_rate) == (0.1, 0.001, 5.0, 0.0125)
    assert told[0] == (
        "perp BTCUSDT filters: tick 0.1, lot 0.001, minimum notional 5; snapshot of 2023-12-29T00:00:00Z (day -3), "
        "3 days old at the first bar"
    )
    assert told[1] == "perp BTCUSDT margin table: of the built-in table; no snapshot has one"
    assert told[2].startswith(
        "perp BTCUSDT: min_notional 5 -> 100, known from 2024-01-21T00:00:00Z on, inside the test"
    )
    later, _ = market_for(lab, spec_of(DIPS), Stretch(None, day(20), None))
    assert later.conditions.rules.min_notional == 100.0


def test_what_was_not_known_at_the_first_bar_is_the_earliest_known_and_without_a_snapshot_the_built_in_table(
    lab: Home, market: tuple[Tape, Tape]
) -> None:
    stocked(lab, *market)
    tapes, told = market_for(lab, spec_of(DIPS), ALL)
    assert tapes.conditions.rules == rules_for(spec_of(DIPS))
    assert told == ("filters: of the built-in table of 2024, no snapshot is recorded (./lab universe record)",)
    told_by(lab, listed(60, btc(minimum="7")), listed(70, btc(minimum="100")))
    tapes, told = market_for(lab, spec_of(DIPS), ALL)
    assert tapes.conditions.rules.min_notional == 7.0
    assert "not known at the first bar; the earliest known is the snapshot of 2024-03-01" in told[0]
    assert told[0].endswith("60 days after it")
    assert len(told) == 2, "a change after the end is nobody's"


def test_a_carry_obeys_both_markets_and_pays_by_the_recorded_margin_table(lab: Home, market: tuple[Tape, Tape]) -> None:
    stocked(lab, *market)
    names = ("notionalFloor", "notionalCap", "maintMarginRatio", "cum", "initialLeverage")
    steps = [dict(zip(names, step, strict=True)) for step in ((0, 1e4, 0.01, 0, 75), (1e4, 9e4, 0.02, 100, 50))]
    tables = of_document([{"symbol": "BTCUSDT", "brackets": steps}], "tables", at_ms=day(-1))
    told_by(lab, listed(-1, btc(tick="0.5", minimum="50")), listed(-1, spot("BTCUSDT")), tables)
    tapes, told = market_for(lab, spec_of(CARRY), ALL)
    rules = tapes.conditions.rules
    assert (rules.tick, rules.lot, rules.min_notional) == (0.5, 0.001, 50.0)
    assert [bracket.maintenance_rate for bracket in rules.brackets] == [0.01, 0.02]
    assert any(line.startswith("spot BTCUSDT filters: tick not told, lot not told, minimum") for line in told)
    assert any(line.startswith("perp BTCUSDT margin table: 2 steps; snapshot of 2023-12-31") for line in told)


def test_a_carry_ends_where_its_settlements_do(market: tuple[Tape, Tape]) -> None:
    _, contract = market
    f, kept = contract.funding, slice(0, -30)
    unsettled = make_tape(replace(contract, funding=Funding(f.time_ms[kept], f.rate[kept], f.mark_price[kept])))
    cut, (line,) = until_settled(unsettled)
    first_lost_ms = int(f.time_ms[-30])
    assert cut.end_ms == first_lost_ms
    assert line.startswith(f"perp BTCUSDT: settlements are recorded until before {iso(first_lost_ms)}, ")
    assert until_settled(contract) == (contract, ())
    hourly = [Told(first_lost_ms - HOUR_MS, HOUR_MS), Told(first_lost_ms - 25 * HOUR_MS, 8 * HOUR_MS)]
    sooner, _ = until_settled(unsettled, hourly)
    assert sooner.end_ms == int(f.time_ms[-31]) + HOUR_MS, "the venue said that it settled hourly by then"


def test_rules_on_a_perpetual_are_told_of_the_funding_they_are_not_charged(market: tuple[Tape, Tape]) -> None:
    _, contract = market
    f = contract.funding
    holed = Funding(*(np.delete(column, 50) for column in (f.time_ms, f.rate, f.mark_price)))
    (line,) = not_charged(make_tape(replace(contract, funding=holed)))
    assert line == (
        f"perp BTCUSDT: settlements missing: 1, the first at {iso(int(f.time_ms[50]))} (between two recorded ones); "
        "their funding is not charged"
    )
    assert not_charged(contract) == ()
    (line,) = not_charged(make_tape(replace(contract, funding=Funding.none())))
    assert "settlements missing: 119, " in line
    assert "(none is recorded)" in line


async def test_a_sandbox_is_not_recorded_beside_what_the_real_venue_lists_nor_the_other_way(tmp_path: Path) -> None:
    ours, theirs = UniverseStore(tmp_path / "a"), UniverseStore(tmp_path / "b")
    document = {"serverTime": day(0), "symbols": [btc()]}
    ours.save(of_document(document, "Binance"))
    theirs.save(of_document(document, "http://127.0.0.1:9"))
    venue = Binance(Access(Clock(), base_url="http://127.0.0.1:9"))  # nobody listens: it must not be asked at all
    for store, source in ((ours, "http://127.0.0.1:9"), (ours, source_of(None, is_demo=True)), (theirs, "Binance")):
        with pytest.raises(DataProviderError, match="another market; keep each in a home of its own"):
            await record(venue, store, source)


def test_saved_documents_are_imported_shown_and_listed(
    lab: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def saved(name: str, *entries: dict[str, object], number: float) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps({"serverTime": day(number), "futuresType": "U_MARGINED", "symbols": list(entries)}))
        return path

    early = saved("early.json", btc(), perp("AAAUSDT"), number=0)
    late = saved("late.json", btc(minimum="100"), number=9)
    assert run_import([late, early], None, partial=False) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("perp snapshot of 2024-01-10T00:00:00Z (late.json): 1 symbols: kept, perp-20240110T")
    assert run_show("AAAUSDT", "2024-02-01") == 0
    shown_text = capsys.readouterr().out
    assert "delisted     between 2024-01-01T00:00:00Z and 2024-01-10T00:00:00Z (gone from the" in shown_text
    assert "minimum      5 USDT" in shown_text
    assert run_show("BTCUSDT", "2023-12-01") == 0
    assert "listed       not known then" in (before := capsys.readouterr().out)
    assert (
        "not known then; the earliest known: snapshot of 2024-01-01T00:00:00Z (early.json), 31.0 days later" in before
    )
    assert run_show("NOPEUSDT", None) == 1
    assert "in no snapshot" in capsys.readouterr().out
    assert run_list("2024-01-05", Market.PERP) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["AAAUSDT", "BTCUSDT"]
    assert run_list("2023-01-05", Market.PERP) == 1
    assert "the earliest is of 2024-01-01T00:00:00Z" in capsys.readouterr().out
    assert run_list(None, Market.SPOT) == 1
    assert "there is none" in capsys.readouterr().out
    with pytest.raises(SettingsError, match="cannot be read"):
        run_import([tmp_path / "none.json"], None, partial=False)
    with pytest.raises(SettingsError, match="--at 'soon': not a date"):
        run_import([early], "soon", partial=False)


@needs_data
def test_the_recorded_margin_tables_make_rules_that_hold(lab: Home, market: tuple[Tape, Tape]) -> None:
    stocked(lab, market[1])
    run_import([PAYLOADS / "usdm_exchangeInfo_2022-05-04.json.gz"], None, partial=False)
    run_import([PAYLOADS / "usdm_leverage_brackets.trim.json"], "2023-12-01", partial=True)
    tapes, _ = market_for(lab, spec_of(DIPS), ALL)
    assert len(tapes.conditions.rules.brackets) == 12
    assert (tapes.conditions.rules.tick, tapes.conditions.rules.min_notional) == (0.1, 5.0)
    universe = Universe(UniverseStore(lab.tapes).snapshots())
    assert universe.of(Market.PERP, "BTCUSDT", parse_iso("2023-11-30")).brackets is None


def test_the_lab_is_told_that_a_market_of_its_own_no_longer_trades() -> None:
    mine = [_instrument(Market.SPOT), _instrument(Market.PERP)]
    trades = Universe([listed(0, spot()), listed(0, perp())])
    assert [one.is_trading for one in as_listed(mine, trades, day(1))] == [True, True]
    halted = Universe([listed(0, spot()), listed(0, perp()), listed(1, perp(status="SETTLING"))])
    assert [(one.market, one.is_trading) for one in as_listed(mine, halted, day(2))] == [
        (Market.SPOT, True), (Market.PERP, False)
    ]  # fmt: skip
    assert as_listed(mine, Universe([]), day(1)) == []


def _instrument(market: Market) -> Instrument:
    one = Decimal(1)
    return Instrument(market, "AAAUSDT", "AAA", "USDT", one, one, one, one * 1000, one * 5)
