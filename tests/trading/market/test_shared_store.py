"""One store for several machines, over the real protocol of object storage on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from sandbox.objects import ObjectsDesk
from tests.loopback import SetClock, serving
from tests.trading.market.samples import HOUR_MS, START_MS, tape
from trading.domain.errors import DataProviderError, NetworkDownError, SettingsError
from trading.domain.instrument import Market
from trading.market.columns import Columns
from trading.market.object_storage import Bucket, ChangedBehindError
from trading.market.series import Series
from trading.market.shared_store import Exchanged, SharedStore
from trading.market.store import TapeStore
from trading.market.store_months import Month
from trading.market.tape import Funding

pytest.importorskip("obstore")

URL = "s3://markets/lab"
MONTH_H = 31 * 24


@pytest_asyncio.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ObjectsDesk]:
    desk = ObjectsDesk(SetClock())
    async with serving(desk) as url:
        for name, value in {
            "AWS_ENDPOINT_URL": f"{url}/s3",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key-of-nobody",
            "AWS_SECRET_ACCESS_KEY": "secret-of-nobody",
            "AWS_REGION": "eu-central-1",
        }.items():
            monkeypatch.setenv(name, value)
        yield desk


def hours(count: int, *, first: int = 0, nudge: float = 0.0, market: Market = Market.SPOT):
    closes = 100.0 + (np.arange(first, first + count) % 11) + nudge
    paid = Funding(np.array([START_MS + (first + 8) * HOUR_MS]), np.array([1e-4 + nudge]), np.array([np.nan]))
    funding = paid if market is Market.PERP else Funding.none()
    return tape(closes.tolist(), start_ms=START_MS + first * HOUR_MS, market=market, funding=funding)


async def sync(root: Path, url: str = URL) -> list[Exchanged]:
    return await asyncio.to_thread(lambda: list(SharedStore(TapeStore(root), Bucket(url)).sync()))


def closes(root: Path) -> list[float]:
    return TapeStore(root).load(Market.SPOT, "BTCUSDT", "1h").close.tolist()


async def test_what_one_machine_has_the_other_gets_and_a_second_time_nothing_moves(
    desk: ObjectsDesk, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for market in Market:
        TapeStore(here).save(hours(MONTH_H + 48, market=market))
    assert [(e.fetched, e.sent) for e in await sync(here)] == [(0, 2), (0, 2), (0, 1)]
    assert [(e.fetched, e.sent) for e in await sync(there)] == [(2, 0), (2, 0), (1, 0)]
    for market in Market:
        ours, theirs = (TapeStore(root).load(market, "BTCUSDT", "1h") for root in (here, there))
        assert ours.content_hash == theirs.content_hash
    assert {(e.fetched, e.sent) for root in (here, there) for e in await sync(root)} == {(0, 0)}
    names = {name.split("/")[-1].split("-")[0] for name in desk.objects if "/spot/" in name}
    assert names == {"2024", "manifest.json"}


async def test_two_machines_that_write_the_same_month_at_once_lose_nothing(desk: ObjectsDesk, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    TapeStore(here).save(hours(100))
    TapeStore(there).save(hours(100, first=200))
    puts: list[str] = []

    def quicker(name: str) -> None:
        """While the first machine puts its manifest, the second one's is already there."""
        if name.endswith("manifest.json") and not puts:
            puts.append(name)
            desk.objects.update(other)

    await sync(there)
    other = dict(desk.objects)
    desk.objects.clear()
    desk.before_put = quicker
    await sync(here)
    assert puts, "the race was run"
    await sync(there)
    assert len(closes(here)) == len(closes(there)) == 200
    assert closes(here) == closes(there)
    files = [name for name in desk.objects if name.endswith(".parquet")]
    assert len(files) <= 2, "what was replaced is removed, but for the loser's of the race"


async def test_of_a_candle_in_two_versions_the_one_shared_first_stays_on_both_and_none_is_forgotten(
    desk: ObjectsDesk, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    TapeStore(here).save(hours(10))
    TapeStore(there).save(hours(12, nudge=0.25))
    await sync(here)
    await sync(there)
    await sync(here)
    assert closes(here) == closes(there)
    assert closes(here)[:10] == hours(10).close.tolist()
    revised = TapeStore(there).revisions(Series.SPOT, "BTCUSDT", "1h")
    assert [one.held[3] for one in revised] == hours(10).close.tolist()
    assert [one.offered[3] for one in revised] == hours(10, nudge=0.25).close.tolist()
    assert {(e.fetched, e.sent) for root in (here, there) for e in await sync(root)} == {(0, 0)}


async def test_a_machine_that_died_after_the_file_and_before_the_manifest_left_the_old_state(
    desk: ObjectsDesk, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    TapeStore(here).save(hours(50))
    await sync(here)
    calm = dict(desk.objects)
    TapeStore(here).save(hours(20, first=50))

    def dies(name: str) -> None:
        if name.endswith("manifest.json"):
            raise ConnectionResetError

    desk.before_put = dies
    with pytest.raises(NetworkDownError, match="s3://markets/lab"):
        await sync(here)
    desk.before_put = lambda _: None
    assert all(desk.objects[name] == held for name, held in calm.items())
    await sync(there)
    assert len(closes(there)) == 50
    await sync(here)
    await sync(there)
    assert len(closes(there)) == 70


async def test_what_is_no_store_is_told_in_one_line_without_a_secret(desk: ObjectsDesk, tmp_path: Path) -> None:
    desk.objects["markets/lab/spot/BTCUSDT/1h/manifest.json"] = (b"{}", 0)
    with pytest.raises(DataProviderError, match="makes no sense"):
        await sync(tmp_path)
    desk.objects["markets/lab/spot/BTCUSDT/1h/manifest.json"] = (b'{"schema": 9, "months": {}}', 0)
    with pytest.raises(DataProviderError, match="schema=9, expected 1"):
        await sync(tmp_path)
    for wrong in ("folder/of/files", "s3://KEY:SECRET@bucket/x", "https://bucket.example/x?X-Amz-Signature=SECRET"):
        with pytest.raises(SettingsError, match="write it like s3://bucket/prefix") as told:
            Bucket(wrong)
        assert "SECRET" not in str(told.value)


async def test_candles_of_the_archive_and_of_the_pages_in_one_month_come_to_the_other_machine(
    desk: ObjectsDesk, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    counted: Columns = {"open_time": START_MS + HOUR_MS * np.arange(3)}
    counted |= {name: np.full(3, 100.0) for name in ("open", "high", "low", "close", "volume", "trades")}
    TapeStore(here).save_series(Series.SPOT, "BTCUSDT", "1h", counted, origin="downloaded")
    TapeStore(here).save(hours(2, first=3))
    await sync(here)
    await sync(there)
    ours, theirs = (TapeStore(root).months(Series.SPOT, "BTCUSDT", "1h") for root in (here, there))
    assert theirs == ours


async def test_a_shared_manifest_names_no_file_elsewhere_and_no_series_that_is_none(
    desk: ObjectsDesk, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    month = {"file": str(outside), "bars": 1, "start_ms": 0, "end_ms": 1, "origin": "downloaded", "sha256": "0" * 64}
    text = json.dumps({"schema": 1, "months": {"2024-01": month}}).encode()
    desk.objects["markets/lab/spot/BTCUSDT/7m/manifest.json"] = (text, 0)
    assert await sync(tmp_path / "here") == []
    desk.objects["markets/lab/spot/BTCUSDT/1h/manifest.json"] = (text, 0)
    with pytest.raises(DataProviderError, match="makes no sense"):
        await sync(tmp_path / "here")
    assert not outside.exists()


async def test_a_month_that_this_machine_lost_meanwhile_stays_shared(
    desk: ObjectsDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    TapeStore(here).save(hours(MONTH_H))
    await sync(here)
    TapeStore(here).save(hours(24, first=MONTH_H))
    whole = TapeStore.months

    def lost(store: TapeStore, *key: object) -> dict[str, Month]:
        return {name: month for name, month in whole(store, *key).items() if name != "2024-01"}  # type: ignore[arg-type]

    monkeypatch.setattr(SharedStore, "_take", lambda *_: False)
    monkeypatch.setattr(TapeStore, "months", lost)
    await sync(here)
    shared = json.loads(desk.objects["markets/lab/spot/BTCUSDT/1h/manifest.json"][0])
    assert list(shared["months"]) == ["2024-01", "2024-02"]


async def test_an_object_is_replaced_only_by_who_saw_its_last_version(desk: ObjectsDesk) -> None:
    def work() -> None:
        bucket = Bucket(URL)
        assert bucket.get("a") is None
        bucket.put("a", b"one", over=None)
        with pytest.raises(ChangedBehindError):
            bucket.put("a", b"two", over=None)
        seen = bucket.get("a")
        assert seen is not None
        bucket.put("a", b"two", over=seen)
        with pytest.raises(ChangedBehindError):
            bucket.put("a", b"three", over=seen)
        assert bucket.names() == ["a"]
        bucket.delete("a")
        bucket.delete("a")
        assert bucket.names() == []

    await asyncio.to_thread(work)
    assert desk.objects == {}
