"""The store on object storage, in the same layout, so that several machines have one: brought in step both ways.

What is shared counts: of a candle that two machines have with other numbers the one that was shared first stays, on
both, and the other is put aside as a revision. A month's file is named by its content and written before the manifest
that names it; the manifest is replaced only if nobody else did since it was read, else everything is looked at again.
So two machines lose nothing of each other, and one that dies half-way leaves the old state or the new one.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from trading.domain.errors import DataProviderError
from trading.domain.market import INTERVAL_MS
from trading.market.importers import read_funding
from trading.market.object_storage import Bucket, ChangedBehindError, Held
from trading.market.series import Series
from trading.market.store import SCHEMA, TapeStore
from trading.market.store_funding import is_same
from trading.market.store_months import Month, read_month
from trading.market.tape import Funding

ROUNDS = 8
"""Times a series is looked at anew because another machine was quicker."""
MANIFEST, FUNDING = "manifest.json", "funding.parquet"

Key = tuple[Series, str, str]
"""Series, symbol, interval."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What went which way."""

    name: str
    fetched: int
    """Months that came, or had something new for this machine."""
    sent: int
    """Months that went, or had something new for the others."""


class SharedStore:
    """A store beside its twin on object storage.

    Args:
        store: This machine's.
        bucket: Where the shared one is.
    """

    def __init__(self, store: TapeStore, bucket: Bucket) -> None:
        self._store, self._bucket = store, bucket

    def sync(self, symbol: str | None = None) -> Iterator[Exchanged]:
        """Bring every series in step, or those of one symbol; tells each as it is done.

        Raises:
            NetworkDownError: the storage does not answer.
            DataProviderError: what is there makes no sense, or other machines never rest.
            StateFileError: this machine's store cannot be written to.
        """
        names = self._bucket.names()
        for key in sorted(self._local_keys() | _keys_in(names)):
            if symbol in (None, key[1]):
                yield self._until_alone("/".join(key), lambda key=key: self._candles(key))  # type: ignore[misc]
        there = {name.split("/")[1] for name in names if name.endswith(f"/{FUNDING}")}
        here = {path.parent.name for path in (self._store.root / Series.PERP).glob(f"*/{FUNDING}")}
        for one in sorted(there | here):
            if symbol in (None, one):
                yield self._until_alone(f"{Series.PERP}/{one}/funding", lambda one=one: self._settlements(one))  # type: ignore[misc]

    def _until_alone(self, name: str, work: Callable[[], tuple[int, int]]) -> Exchanged:
        fetched = 0
        for _ in range(ROUNDS):
            try:
                came, went = work()
                return Exchanged(name, fetched + came, went)
            except ChangedBehindError:
                continue
        raise DataProviderError(f"{self._bucket.url}/{name}: other machines changed it {ROUNDS} times; try again later")

    def _candles(self, key: Key) -> tuple[int, int]:
        folder = "/".join(key)
        there = self._bucket.get(f"{folder}/{MANIFEST}")
        shared = _months(there, f"{self._bucket.url}/{folder}/{MANIFEST}")
        came = sum(self._take(key, name, month) for name, month in sorted(shared.items()))
        mine = self._store.months(*key)
        new = {name: month for name, month in mine.items() if shared.get(name, month).sha256 != month.sha256}
        new |= {name: month for name, month in mine.items() if name not in shared}
        for month in new.values():
            try:
                content = (self._store.root.joinpath(*key) / month.file).read_bytes()
            except FileNotFoundError as error:
                raise ChangedBehindError(f"{folder}/{month.file}: replaced on this machine meanwhile") from error
            self._bucket.put(f"{folder}/{month.file}", content, over=None, always=True)
        if new:
            # A month that is shared and was damaged here since stays shared.
            months = {name: month.model_dump() for name, month in sorted((shared | mine).items())}
            text = json.dumps({"schema": SCHEMA, "months": months}, indent=2)
            self._bucket.put(f"{folder}/{MANIFEST}", text.encode() + b"\n", over=there)
            for name in new.keys() & shared.keys():
                self._bucket.delete(f"{folder}/{shared[name].file}")
        return came, len(new)

    def _take(self, key: Key, name: str, month: Month) -> bool:
        """Have a shared month here; False: it is here already."""
        held = self._store.months(*key).get(name)
        if held is not None and held.sha256 == month.sha256:
            return False
        folder = "/".join(key)
        content = self._bucket.get(f"{folder}/{month.file}")
        if content is None:
            raise ChangedBehindError(f"{self._bucket.url}/{folder}/{month.file}: replaced meanwhile")
        with tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / month.file).write_bytes(content.content)
            columns = read_month(Path(scratch), month)
        self._store.take_over(*key, columns, origin=month.origin)
        return held is None or self._store.months(*key)[name].sha256 != held.sha256

    def _settlements(self, symbol: str) -> tuple[int, int]:
        name = f"{Series.PERP}/{symbol}/{FUNDING}"
        there = self._bucket.get(name)
        shared = Funding.none() if there is None else _funding(there)
        came = self._store.settle_over(symbol, shared)
        path = self._store.root / name
        mine = self._store.funding(symbol, -1, 2**62)
        if there is not None and is_same(mine, shared):
            return came, 0
        self._bucket.put(name, path.read_bytes(), over=there)
        return came, len(mine.time_ms) - len(shared.time_ms)

    def _local_keys(self) -> set[Key]:
        return {(held.series, held.symbol, held.interval) for held in self._store.holdings()}


def _keys_in(names: list[str]) -> set[Key]:
    parts = (name.split("/") for name in names if name.endswith(f"/{MANIFEST}"))
    known = {series.value for series in Series}
    return {(Series(p[0]), p[1], p[2]) for p in parts if len(p) == 4 and p[0] in known and p[2] in INTERVAL_MS}


def _months(held: Held | None, where: str) -> dict[str, Month]:
    if held is None:
        return {}
    try:
        data = json.loads(held.content)
        if data["schema"] != SCHEMA:
            raise DataProviderError(f"{where}: schema={data['schema']!r}, expected {SCHEMA}; update this machine")
        return {str(name): Month.model_validate(month) for name, month in data["months"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise DataProviderError(f"{where}: makes no sense: {str(error)[:120]}; remove it and sync again") from error


def _funding(held: Held) -> Funding:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / FUNDING
        path.write_bytes(held.content)
        return read_funding(path, start_ms=-1, end_ms=2**62)
