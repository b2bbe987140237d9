"""Very many strategy files at once: the loop of the service goes on while they are read."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ops.ai_trading_lab import bound
from ops.jobs import trading_loop
from tests.ops.at_night import lab_at_night
from tests.ops.world import NOW_MS
from tests.trading.strategy.examples import rule_spec
from trading.storage.home import Home
from trading.strategy import repository
from trading.strategy.spec import StrategySpec, dump_spec


async def test_files_that_were_written_since_the_last_job_are_not_read_by_the_loop(
    lab_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lab_at_night(lab_home) as (lab, _):
        await lab.market.open()
        specs = [rule_spec(f"rsi(14) < {n / 10}", at_ms=NOW_MS) for n in range(100, 300)]
        for spec in specs:
            (lab_home.strategies / "testing" / f"{spec.id}.json").write_bytes(dump_spec(spec))
        load, readers = repository.load_spec, dict[str, set[int]]()

        def load_spec(raw: bytes, *, where: str) -> StrategySpec:
            readers.setdefault(Path(where).stem, set()).add(threading.get_ident())
            return load(raw, where=where)

        monkeypatch.setattr(repository, "load_spec", load_spec)
        await bound(trading_loop.run, lab)()
        assert readers.keys() >= {spec.id for spec in specs}
        assert threading.get_ident() not in set().union(*(readers[spec.id] for spec in specs))
        assert len(lab.repository.living()) == len(specs)
