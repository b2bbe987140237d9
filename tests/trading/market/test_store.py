from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import DATA, needs_data
from tests.trading.market.samples import HOUR_MS, START_MS, tape
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.market.importers import import_recorded
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


@needs_data
def test_a_year_of_recorded_minutes_comes_back_as_it_was(store: TapeStore):
    minutes = import_recorded(DATA, Market.SPOT, "BTCUSDT", "1m", START_MS, START_MS + 366 * DAY_MS)
    assert len(minutes) == 527_040
    store.save(minutes)
    assert store.load(Market.SPOT, "BTCUSDT", "1m").content_hash == minutes.content_hash
