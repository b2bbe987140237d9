"""A file that could not be read is told until it is moved away, whoever met it, and stands in the status."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from ops.jobs.trading_loop import LIVE_START_SCHEMA, remember_live
from ops.service.lab import Lab, Memory
from ops.service.lasting import tell_set_aside
from ops.status import read_status
from ops.telling.messages import Messenger
from trading.domain.clock import Clock
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import StateFileError
from trading.execution.intents import Intents
from trading.funding.hedge_memory import HedgeMemory
from trading.funding.position import PositionStore
from trading.funding.report import CycleReport
from trading.journal.audit import CycleStatus
from trading.notify.outbox import Outbox
from trading.risk.counters import RiskCounters
from trading.storage.files import read_json
from trading.storage.home import Home

OTHER_SHAPE = '{"schema": 1, "what": ["ever"]}'


def lab_of(home: Home) -> Lab:
    """What these two look at, of a lab."""
    clock, outbox = Clock(), Outbox(home.outbox)
    messenger = Messenger(outbox, clock, is_synthetic=False, wake=lambda: None)
    rooms = {"home": home, "clock": clock, "messenger": messenger, "publish": messenger.hear, "desk": None}
    return cast("Lab", SimpleNamespace(**rooms, memory=Memory(started_ms=0), failed=lambda where, error: None))


def test_it_is_one_alert_until_it_is_moved_away(home: Home) -> None:
    lab, aside = lab_of(home), home.state / "live_armed.json.bad-1"
    aside.write_text("{")
    for _ in range(3):
        tell_set_aside(lab)
    (told,) = home.outbox.glob("[0-9]*.json")
    assert "state/live_armed.json.bad-1 could not be read" in told.read_text()
    assert any("live_armed.json.bad-1: set aside" in line for line in read_status(home, Clock()).problems)
    aside.unlink()
    tell_set_aside(lab)
    assert lab.messenger.open_of("state.lies_aside") == set()


def positions(path: Path) -> PositionStore:
    return PositionStore(path, Intents(path.with_name("intents.jsonl")))


@pytest.mark.parametrize("read", [RiskCounters, positions])
def test_a_file_of_another_shape_is_not_taken_for_one_of_which_all_is_forgotten(
    home: Home, read: Callable[[Path], object]
) -> None:
    file = home.state / "one.json"
    file.write_text(OTHER_SHAPE)
    with pytest.raises(StateFileError, match=r"lacks '.*set aside as one\.json\.bad-1"):
        read(file)


def test_what_the_hedge_watch_told_is_not_forgotten_in_silence(home: Home) -> None:
    (home.state / "hedge_watch.json").write_text(OTHER_SHAPE)
    assert "set aside as hedge_watch.json.bad-1" in HedgeMemory(home.state / "hedge_watch.json").note


@pytest.mark.parametrize("content", [OTHER_SHAPE, "", '{"schema": 1, "equ'])
def test_an_unreadable_start_of_the_account_is_made_anew_and_ends_nothing(home: Home, content: str) -> None:
    file = home.state / "live_start.json"
    file.write_text(content)
    report = CycleReport(1, CycleStatus.NO_TRADE, Decision(False, Reason.HOLDING, 0.0, 0.0))
    report = replace(report, equity_quote=Decimal(1000))
    remember_live(lab_of(home), report)
    kept = read_json(file, schema=LIVE_START_SCHEMA)
    assert kept is not None
    assert kept["equity_quote"] == 1000.0
    assert file.with_name("live_start.json.bad-1").exists()
