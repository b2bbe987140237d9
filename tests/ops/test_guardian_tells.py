"""What the guardian cannot tell, or not deliver, ends nothing: it watches, cancels and closes all the same."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from ops.environment import read_environment
from ops.guardian.eyes import Eyes
from ops.guardian.hands import Closed, Hands
from ops.guardian.process import Guardian
from ops.settings import read_settings
from tests.mail_server import MailServer
from tests.ops.test_channels import furnish
from tests.set_clock import SetClock
from trading.domain.clock import Clock
from trading.domain.events import Severity
from trading.notify.message import Message
from trading.notify.outbox import Outbox
from trading.risk.guardian import GuardianSettings
from trading.risk.kill_switch import stop_trading
from trading.storage.home import Home


def guardian_of(home: Home) -> tuple[Guardian, Hands]:
    """One with nothing to guard, and so without a line to the exchange."""
    environment, settings, clock = read_environment(home), read_settings(home.settings_file), Clock()
    hands = Hands(home, None, settings, clock)  # type: ignore[arg-type]  # nothing is held: nobody is asked
    eyes = Eyes(home, None, settings.guardian, clock, os.environ)  # type: ignore[arg-type]
    return Guardian(eyes, hands, home, settings.guardian, environment, clock), hands


async def watches_for(guardian: Guardian, real_s: float, home: Home) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(guardian.run(stop))
    await asyncio.sleep(real_s)
    home.guardian_pulse_file.unlink()
    for _ in range(200):
        await asyncio.sleep(0.02)
        if home.guardian_pulse_file.exists():
            break
    assert home.guardian_pulse_file.exists(), "it still looks"
    stop.set()
    await task


def no_lock(outbox: Path) -> None:
    (outbox / ".lock").unlink(missing_ok=True)
    (outbox / ".lock").mkdir()


def no_ledger(outbox: Path) -> None:
    (outbox / "alerts.json").mkdir()


def no_pulse(outbox: Path) -> None:
    (outbox.parent / "guardian_pulse").symlink_to(outbox / "nowhere" / "pulse")


@pytest.mark.parametrize("harm", [no_lock, no_ledger, no_pulse])
async def test_a_file_that_cannot_be_written_ends_no_watch(home: Home, harm: object) -> None:
    furnish(home)
    guardian, hands = guardian_of(home)
    harm(home.outbox)  # type: ignore[operator]
    hands.tell("🚨 Guardian: NOT FLAT", key="not_flat")
    hands.resolve("not_flat")
    await watches_for(guardian, 0.3, home)


async def test_that_it_is_flat_is_told_although_the_disk_was_full_when_it_was(home: Home) -> None:
    furnish(home)
    _, hands = guardian_of(home)
    no_ledger(home.outbox)
    hands.tell("🚨 Guardian: flat and verified", key="flat 1", severity=Severity.NOTICE)
    await hands.deliver(read_environment(home))
    assert Outbox(home.outbox).waiting == 0
    (home.outbox / "alerts.json").rmdir()
    for _ in range(2):
        await hands.deliver(read_environment(home))
    assert Outbox(home.outbox).waiting == 1


def test_flat_ends_what_a_lab_that_is_dead_by_now_told_of_not_being_flat(home: Home) -> None:
    furnish(home)
    _, hands = guardian_of(home)
    outbox = Outbox(home.outbox)
    for key in ("stop.not_flat", "risk.not_flat:KILL_SWITCH:position=c-000001", "stop"):
        outbox.put(Message("alert", f"🚨 {key}", dedup_key=key, severity=Severity.ALERT), Clock())
    assert hands.lab_told_not_flat(), "the guardian need not tell it too"
    hands.seen_flat()
    assert list(outbox.open_alerts()) == ["stop"]
    assert not hands.lab_told_not_flat()


async def test_a_bug_in_what_delivers_ends_no_watch(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    server = MailServer(password="right")
    async with server.open():
        furnish(home, mail=server)
        (home.outbox / "email").mkdir()
        guardian, _ = guardian_of(home)
        Outbox(home.outbox).put(Message("report", "x"), Clock())

        async def drain(self: Outbox, *args: object, **others: object) -> None:
            raise TypeError("a bug")

        monkeypatch.setattr(Outbox, "drain", drain)
        await watches_for(guardian, 0.3, home)


def test_the_lab_is_silent_for_as_long_as_we_looked_whatever_clocks_say_and_servers_sleep(tmp_path: Path) -> None:
    home, clock = Home(tmp_path).make(), SetClock()
    home.pulse_file.touch()
    eyes = Eyes(home, None, GuardianSettings(), clock, {})  # type: ignore[arg-type]  # nothing is held: nobody is asked
    assert eyes.look().lab_age_s == 0.0
    clock.ahead_s = 7200.0
    assert eyes.look().lab_age_s < 1.0, "the clock was set, or the server slept; the lab had no turn yet"
    clock.ahead_s = -7200.0
    clock.slept_s = 7200.0
    assert eyes.look().lab_age_s < 2.1, "a machine that was halted as a whole: every clock of it goes on at once"
    beat_ns = home.pulse_file.stat().st_mtime_ns + 200_000_000
    os.utime(home.pulse_file, ns=(beat_ns, beat_ns))
    assert eyes.look().lab_age_s == 0.0
    ages = []
    for _ in range(3):
        clock.slept_s += 0.9
        ages.append(eyes.look().lab_age_s)
    assert ages == pytest.approx([0.9, 1.8, 2.7], abs=0.2), "a lab that is dead while we look is seen to be"


async def test_that_the_lab_lives_again_is_told_once_after_it_was_said_to_be_dead(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(home)

    async def flat(self: Hands, verdict: object, symbols: object) -> Closed:
        now_s = Clock().real_s()
        return Closed(0, "STOPPED_BY_HUMAN", "x", now_s, now_s, now_s, ())

    monkeypatch.setattr(Hands, "flatten", flat)
    guardian, _ = guardian_of(home)
    why = "LAB_SILENT: no lab lives: 700 s against a limit of 600 s"
    stop_trading(home, by="guardian", why=why, at_ms=0, keep_positions=False)
    await watches_for(guardian, 0.3, home)
    assert Outbox(home.outbox).waiting == 0, "it is dead still"
    home.lock_file.write_text(f"{os.getpid()}\n")
    home.pulse_file.touch()
    await watches_for(guardian, 0.3, home)
    await watches_for(guardian_of(home)[0], 0.3, home)
    (told,) = home.outbox.glob("[0-9]*.json")
    assert "the lab lives again" in told.read_text()
    assert "python stop_trading.py --release" in told.read_text()


async def test_what_the_disk_took_only_later_says_of_when_it_is(home: Home) -> None:
    furnish(home)
    _, hands = guardian_of(home)
    clock = hands._clock = SetClock()
    no_ledger(home.outbox)
    hands.tell("🚨 Guardian: flat and verified", key="flat 1", severity=Severity.NOTICE)
    (home.outbox / "alerts.json").rmdir()
    clock.ahead_s = 3600.0
    await hands.deliver(read_environment(home))
    (told,) = home.outbox.glob("[0-9]*.json")
    assert re.search(r"Of \d{4}-\d\d-\d\d \d\d:\d\d UTC: ", told.read_text())
