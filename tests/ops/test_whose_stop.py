"""A stop that the machine made is told as its own; what nobody reads because of a stop is not called stale."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from ops import gather
from ops.jobs.parity import Doubt, tell_doubts
from ops.jobs.trading_loop import whose_stop
from ops.reader import UTC
from ops.service.lab import Lab
from trading.domain.clock import Clock
from trading.domain.decisions import Decision, Reason
from trading.domain.events import Severity
from trading.risk.kill_switch import read_stop, stop_trading
from trading.storage.home import Home


def test_a_stop_of_the_guardian_is_not_told_as_a_humans(home: Home) -> None:
    why = "LAB_SILENT: no lab lives: 700 s against a limit of 600 s"
    stop_trading(home, by="guardian", why=why, at_ms=0, keep_positions=False)
    told = whose_stop(home, read_stop(home, {}).decision)
    assert told.reason is Reason.LAB_SILENT
    assert told.note == f"TRADING_STOPPED.json, by the guardian, 1970-01-01T00:00:00Z: {why}"
    halt = Decision(False, Reason.LOSS_STREAK, 5.0, 5.0)
    assert whose_stop(home, halt) is halt
    stop_trading(home, by="stop_trading.py", why="a human", at_ms=0, keep_positions=False)
    assert whose_stop(home, read_stop(home, {}).decision).reason is Reason.STOPPED_BY_HUMAN


@pytest.mark.parametrize(("stopped", "words"), [(True, "not read while stopped"), (False, "STALE")])
def test_an_account_that_nobody_reads_because_of_a_stop_is_not_called_stale(
    home: Home, stopped: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stopped:
        stop_trading(home, by="stop_trading.py", why="a human", at_ms=0, keep_positions=False)
    setting = SimpleNamespace(switches={})
    settings = SimpleNamespace(
        venue=SimpleNamespace(base_url=None), messages=SimpleNamespace(reader=UTC), service=SimpleNamespace(loop_s=60)
    )
    memory = SimpleNamespace(
        live_start_quote=1.0, live_flows_quote=0.0, live_start_flows_quote=0.0, live_unexplained_quote=0.0
    )
    clock = Clock()
    rooms = {"home": home, "clock": clock, "setting": setting, "settings": settings, "memory": memory, "desk": None}
    report = SimpleNamespace(equity_quote=1, cash_quote=1, held=(), symbols={}, at_ms=clock.now_ms() - 3_600_000)
    account = gather.live_account(cast("Lab", SimpleNamespace(**rooms)), report)  # type: ignore[arg-type]
    assert account.kind.startswith(f"live, {words}, as of ")
    assert account.whose == "live"


def test_doubts_of_one_reason_are_one_notice() -> None:
    told = list[tuple[object, ...]]()
    lab = cast("Lab", SimpleNamespace(tell=lambda *facts: told.append(facts)))
    tell_doubts(lab, [Doubt("fc-1", "no shelf", 1), Doubt("mr-2", "other", 1), Doubt("fc-3", "no shelf", 2)])
    assert told == [
        ("parity.not_comparable", {"id": "fc-1, fc-3", "why": "no shelf", "nights": 2}, Severity.NOTICE),
        ("parity.not_comparable", {"id": "mr-2", "why": "other", "nights": 1}, Severity.NOTICE),
    ]
