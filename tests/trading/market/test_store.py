from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.conftest import DATA, needs_data
from tests.trading.market.samples import HOUR_MS, START_MS, tape
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.market import parquet
from trading.market.columns import Columns
from trading.market.importers import import_recorded
from trading.market.resample import resample
from trading.market.series import Series
from trading.market.store import TapeStore
from trading.market.tape import Funding

DAY_MS = 24 * HOUR_MS
CLOSES = (100.0 + 10.0 * np.sin(np.arange(40 * 24))).tolist()
"""40 days of hours: January and a part of February."""


@pytest.fixture
def store(tmp_path: Path) -> TapeStore:
    return TapeStore(tmp_path / "market")


def test_what_was_saved_is_loaded_to_the_bit(store: TapeStore):
    saved = tape(CLOSES, drop=[5, 6])
    assert store.save(saved).added_bars == len(CLOSES) - 2
    loaded = store.load(Market.SPOT, "BTCUSDT", "1h")
    assert loaded.content_hash == saved.content_hash
    assert loaded.origin == "recorded"
    assert [gap.missing_bars for gap in loaded.gaps] == [2]


def test_a_stretch_is_loaded_by_open_times(store: TapeStore):
    store.save(tape(CLOSES))
    start, end = START_MS + 30 * DAY_MS, START_MS + 33 * DAY_MS
    loaded = store.load(Market.SPOT, "BTCUSDT", "1h", start, end)
    assert (loaded.start_ms, loaded.end_ms, len(loaded)) == (start, end, 72)
    with pytest.raises(DataProviderError, match=r"no bars in that stretch.*history fetch"):
        store.load(Market.SPOT, "BTCUSDT", "1h", end + 100 * DAY_MS)


def test_overlapping_tapes_are_merged_and_nothing_is_written_twice(store: TapeStore):
    whole = tape(CLOSES)
    store.save(whole.window(START_MS, START_MS + 20 * DAY_MS))
    second = store.save(whole.window(START_MS + 10 * DAY_MS, whole.end_ms))
    assert (second.added_bars, second.known_bars, second.revised) == (20 * 24, 10 * 24, ())
    assert store.load(Market.SPOT, "BTCUSDT", "1h").content_hash == whole.content_hash
    assert len(list(store.root.rglob("2024-01-*.parquet"))) == 1, "the file that was replaced is gone"


def test_a_revised_candle_does_not_replace_the_one_held_and_is_reported(store: TapeStore):
    store.save(tape([100.0, 101.0, 102.0]))
    changed = tape([100.0, 101.5, 102.0])
    saved = store.save(changed)
    assert [revision.open_time_ms for revision in saved.revised] == [START_MS + HOUR_MS, START_MS + 2 * HOUR_MS]
    assert saved.revised[0].held[3] == 101.0
    assert saved.revised[0].offered[3] == 101.5
    assert store.load(Market.SPOT, "BTCUSDT", "1h").close[1] == 101.0
    store.save(changed)
    aside = store.root / "spot" / "BTCUSDT" / "1h" / "revisions.jsonl"
    assert [json.loads(line)["open_time_ms"] for line in aside.read_text().splitlines()] == [
        START_MS + HOUR_MS,
        START_MS + 2 * HOUR_MS,
    ]


def test_funding_travels_with_the_perpetual_and_an_unknown_mark_stays_unknown(store: TapeStore):
    funding = Funding(
        START_MS + 8 * HOUR_MS * np.arange(1, 4), np.array([1e-4, -2e-4, 3e-4]), np.array([100.0, np.nan, 101.0])
    )
    saved = tape([100.0] * 30, market=Market.PERP, funding=funding)
    assert store.save(saved).added_settlements == 3
    assert store.save(saved).added_settlements == 0
    loaded = store.load(Market.PERP, "BTCUSDT", "1h")
    assert loaded.content_hash == saved.content_hash
    assert np.isnan(loaded.funding.mark_price[1])


def test_an_interval_that_is_not_held_is_made_from_a_shorter_one(store: TapeStore):
    store.save(tape(CLOSES))
    four = store.load(Market.SPOT, "BTCUSDT", "4h")
    assert len(four) == len(CLOSES) // 4
    assert four.close[0] == CLOSES[3]
    with pytest.raises(DataProviderError, match="not held"):
        store.load(Market.SPOT, "BTCUSDT", "5m")
    with pytest.raises(DataProviderError, match="not held"):
        store.load(Market.SPOT, "ETHUSDT", "1h")


def test_synthetic_and_real_bars_never_share_a_shelf(store: TapeStore):
    store.save(tape([100.0, 101.0]))
    with pytest.raises(DataProviderError, match=r"origin=synthetic: the store holds recorded bars"):
        store.save(tape([100.0, 101.0], origin="synthetic", start_ms=START_MS + DAY_MS))


def test_a_file_that_does_not_match_its_hash_is_set_aside(store: TapeStore):
    store.save(tape([100.0, 101.0]))
    folder = store.root / "spot" / "BTCUSDT" / "1h"
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["months"]["2024-01"]["sha256"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataProviderError, match=r"does not match its hash; set aside as .*bad-1"):
        store.load(Market.SPOT, "BTCUSDT", "1h")
    assert len(list(folder.glob("*.bad-1"))) == 1


def test_a_torn_file_and_a_senseless_manifest_are_named(store: TapeStore):
    store.save(tape([100.0, 101.0]))
    folder = store.root / "spot" / "BTCUSDT" / "1h"
    next(folder.glob("*.parquet")).write_bytes(b"PAR1torn")
    with pytest.raises(DataProviderError, match=r"2024-01.*cannot be read"):
        store.load(Market.SPOT, "BTCUSDT", "1h")
    (folder / "manifest.json").write_text('{"schema": 1, "months": {"2024-01": {"bars": "many"}}}')
    with pytest.raises(DataProviderError, match="the manifest makes no sense"):
        store.load(Market.SPOT, "BTCUSDT", "1h")


def test_holdings_tell_what_is_there(store: TapeStore):
    assert store.holdings() == []
    store.save(tape(CLOSES))
    (held,) = store.holdings()
    assert (held.market, held.symbol, held.interval, held.bars, held.origins) == (
        Market.SPOT, "BTCUSDT", "1h", len(CLOSES), ("recorded",),
    )  # fmt: skip


def candles(first: int, end: int, price: float, *, trades: bool = False) -> Columns:
    columns: Columns = {"open_time": START_MS + HOUR_MS * np.arange(first, end)}
    names = ("open", "high", "low", "close", "volume", *(("trades",) if trades else ()))
    return columns | {name: np.full(end - first, price) for name in names}


def settled(rate: float) -> Funding:
    return Funding(np.array([START_MS + 8 * HOUR_MS]), np.array([rate]), np.array([np.nan]))


def test_a_month_that_was_cut_short_is_set_aside_and_may_be_saved_again(store: TapeStore):
    store.save(tape(CLOSES))
    month = next(store.root.rglob("2024-01-*.parquet"))
    month.write_bytes(month.read_bytes()[:200])
    with pytest.raises(DataProviderError, match=r"2024-01-.*cannot be read: .*; set aside as .*\.bad-1"):
        store.load(Market.SPOT, "BTCUSDT", "1h")
    store.save(tape(CLOSES))
    assert store.load(Market.SPOT, "BTCUSDT", "1h").content_hash == tape(CLOSES).content_hash


def test_settlements_that_were_damaged_are_missed_until_they_are_fetched_again(store: TapeStore):
    store.settle("BTCUSDT", settled(1e-4))
    file = store.root / "perp" / "BTCUSDT" / "funding.parquet"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataProviderError, match=r"set aside as funding\.parquet\.bad-1; run `./lab history fetch`"):
        store.funding("BTCUSDT", 0, 2**62)
    with pytest.raises(DataProviderError, match="has not been fetched since"):
        store.funding("BTCUSDT", 0, 2**62)
    store.settle("BTCUSDT", settled(1e-4))
    assert store.funding("BTCUSDT", 0, 2**62).rate.tolist() == [1e-4]


def test_a_machine_that_cannot_open_a_file_does_not_call_it_damaged(store: TapeStore, monkeypatch: pytest.MonkeyPatch):
    store.save(tape(CLOSES))
    store.settle("BTCUSDT", settled(1e-4))
    files = set(store.root.rglob("*.parquet"))

    def busy() -> None:
        raise duckdb.IOException('IO Error: Cannot open file "x": Too many open files')

    with monkeypatch.context() as patch:
        patch.setattr(parquet, "_connect", busy)
        with pytest.raises(DataProviderError, match="Too many open files"):
            store.load(Market.SPOT, "BTCUSDT", "1h")
        with pytest.raises(DataProviderError, match="Too many open files"):
            store.funding("BTCUSDT", 0, 2**62)
    assert set(store.root.rglob("*.parquet")) == files
    assert store.load(Market.SPOT, "BTCUSDT", "1h").content_hash == tape(CLOSES).content_hash


def test_files_of_a_manifest_that_was_lost_are_not_thrown_away(store: TapeStore):
    store.save(tape(CLOSES))
    before = set(store.root.rglob("*.parquet"))
    next(store.root.rglob("manifest.json")).unlink()
    store.save_series(Series.SPOT, "BTCUSDT", "1h", candles(0, 10, 100.0), origin="downloaded")
    assert before < set(store.root.rglob("*.parquet"))


class PulledPlug(BaseException):
    """Nothing catches it, as nothing catches kill -9."""


@contextmanager
def stopped_before(count: int) -> Iterator[None]:
    """The process dies before its file operation of that number: no clearing up, what was done is done."""
    left = [count]

    def counted(work: Callable[..., object]) -> Callable[..., object]:
        def done(*args: object, **kwargs: object) -> object:
            if left[0] <= 0:
                raise PulledPlug
            left[0] -= 1
            return work(*args, **kwargs)

        return done

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        yield


@pytest.mark.parametrize("put", ["save_series", "take_over"])
def test_stopped_at_any_file_operation_the_old_or_the_new_state_is_there_and_no_revision_is_lost(
    tmp_path: Path, put: str
):
    for stop_at in range(40):
        store = TapeStore(tmp_path / str(stop_at))
        store.save_series(Series.SPOT, "BTCUSDT", "1h", candles(0, 10, 100.0), origin="downloaded")

        def work(store: TapeStore = store) -> None:
            getattr(store, put)(Series.SPOT, "BTCUSDT", "1h", candles(5, 15, 101.0), origin="downloaded")

        through = False
        with suppress(PulledPlug), stopped_before(stop_at):
            work()
            through = True
        stay = [101.0 if put == "take_over" else 100.0] * 5
        old, new = [100.0] * 10, [100.0] * 5 + stay + [101.0] * 5
        assert store.series(Series.SPOT, "BTCUSDT", "1h")["close"].tolist() in (old, new), f"stopped at {stop_at}"
        work()
        assert store.series(Series.SPOT, "BTCUSDT", "1h")["close"].tolist() == new, f"stopped at {stop_at}"
        assert len(store.revisions(Series.SPOT, "BTCUSDT", "1h")) == 5, f"stopped at {stop_at}"
        left = {path.suffix for path in store.root.rglob("*") if path.is_file()}
        assert len(list(store.root.rglob("*.parquet"))) == 1, f"stopped at {stop_at}: a file that nothing names stays"
        assert ".tmp" not in left, f"stopped at {stop_at}: half a file stays"
        if through:
            return
    pytest.fail("it never came to an end")


def test_a_settlement_that_is_replaced_is_never_forgotten_wherever_it_stops(tmp_path: Path):
    for stop_at in range(20):
        store, through = TapeStore(tmp_path / str(stop_at)), False
        store.settle("BTCUSDT", settled(1e-4))
        with suppress(PulledPlug), stopped_before(stop_at):
            store.settle_over("BTCUSDT", settled(2e-4))
            through = True
        assert store.funding("BTCUSDT", -1, 2**62).rate.tolist() in ([1e-4], [2e-4])
        store.settle_over("BTCUSDT", settled(2e-4))
        aside = (store.root / "perp" / "BTCUSDT" / "funding.revisions.jsonl").read_text()
        assert json.loads(aside) == {"open_time_ms": START_MS + 8 * HOUR_MS, "held": [2e-4], "offered": [1e-4]}
        if through:
            return
    pytest.fail("it never came to an end")


def test_a_revision_whose_line_was_torn_off_costs_that_line_alone(store: TapeStore):
    store.save_series(Series.SPOT, "BTCUSDT", "1h", candles(0, 3, 100.0), origin="downloaded")
    store.save_series(Series.SPOT, "BTCUSDT", "1h", candles(0, 3, 101.0), origin="downloaded")
    aside = store.root / "spot" / "BTCUSDT" / "1h" / "revisions.jsonl"
    aside.write_bytes(aside.read_bytes()[:-20])
    store.save_series(Series.SPOT, "BTCUSDT", "1h", candles(0, 3, 101.0), origin="downloaded")
    assert {one.open_time_ms for one in store.revisions(Series.SPOT, "BTCUSDT", "1h")} == {
        START_MS + HOUR_MS * hour for hour in range(3)
    }


def test_who_reads_while_another_writes_has_a_whole_state(store: TapeStore):
    def read(_: int) -> int:
        return len(store.series(Series.SPOT, "BTCUSDT", "1h")["open_time"])

    store.save_series(Series.SPOT, "BTCUSDT", "1h", candles(0, 800, 100.0), origin="downloaded")
    with ThreadPoolExecutor(2) as threads:
        lengths = threads.map(read, range(60))
        for end in range(801, 841):
            store.save_series(Series.SPOT, "BTCUSDT", "1h", candles(end - 1, end, 100.0), origin="downloaded")
        assert all(length >= 800 for length in lengths)
    assert read(0) == 840


def test_candles_of_a_source_without_trades_stand_beside_those_of_one_that_has_them(store: TapeStore, tmp_path: Path):
    store.save_series(Series.SPOT, "BTCUSDT", "1h", candles(0, 3, 100.0, trades=True), origin="downloaded")
    store.save_series(Series.SPOT, "BTCUSDT", "1h", candles(3, 5, 100.0), origin="downloaded")
    held = store.series(Series.SPOT, "BTCUSDT", "1h")
    assert np.isnan(held["trades"]).tolist() == [False, False, False, True, True]
    other = TapeStore(tmp_path / "other")
    other.take_over(Series.SPOT, "BTCUSDT", "1h", held, origin="downloaded")
    same = [s.months(Series.SPOT, "BTCUSDT", "1h")["2024-01"].sha256 for s in (store, other)]
    assert same[0] == same[1]
    with pytest.raises(DataProviderError, match=r"volume\[0\]=nan"):
        other.save_series(Series.SPOT, "BTCUSDT", "1h", held | {"volume": np.full(5, np.nan)}, origin="downloaded")


@needs_data
def test_a_year_of_recorded_minutes_comes_back_as_it_was(store: TapeStore):
    minutes = import_recorded(DATA, Market.SPOT, "BTCUSDT", "1m", START_MS, START_MS + 366 * DAY_MS)
    assert len(minutes) == 527_040
    store.save(minutes)
    assert store.load(Market.SPOT, "BTCUSDT", "1m").content_hash == minutes.content_hash


def test_hours_of_a_few_days_do_not_hide_minutes_of_weeks(tmp_path: Path) -> None:
    store = TapeStore(tmp_path)
    minutes = tape((100.0 + np.arange(20 * 24 * 60) % 9).tolist(), interval="1m")
    store.save(minutes)
    late = resample(minutes, "1h").window(START_MS + 18 * 24 * HOUR_MS, START_MS + 20 * 24 * HOUR_MS)
    store.save(late)
    assert len(store.load(Market.SPOT, "BTCUSDT", "1h")) == 20 * 24
    assert len(store.load(Market.SPOT, "BTCUSDT", "1h", START_MS)) == 20 * 24
    assert store.load(Market.SPOT, "BTCUSDT", "1h", late.start_ms).content_hash == late.content_hash
