"""The doctor: each check with what was found and, where it is not good, what to do."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

import sandbox.telegram
from ops import send_test_notification
from ops.doctor import checks as doctor
from ops.doctor.checks import Check, Health, is_green, limits_check, screen
from ops.doctor.feasibility import feasibility_check
from ops.environment import Environment
from ops.settings import LabSettings, VenueSettings
from ops.venues import make_venue
from tests.ops.papers import put
from tests.ops.world import World
from trading.domain.clock import Clock
from trading.domain.decisions import Decision, Reason
from trading.exchange.binance import Binance
from trading.notify.telegram import Telegram
from trading.risk.kill_switch import stop_trading
from trading.risk.limits import RiskLimits
from trading.storage.home import Home

NOTHING = Environment(None, None, None, None, None, binance_testnet=False, live_trading=False, kill=False)
KEYS = replace(NOTHING, binance_api_key=SecretStr("sandbox-key"), binance_api_secret=SecretStr("sandbox-secret"))


@asynccontextmanager
async def venue_of(world: World, *, off_ms: int = 0, url: str = "") -> AsyncIterator[tuple[Binance, Clock]]:
    """The exchange as the lab sees it, with a clock that is off by so much."""
    clock = Clock(origin_ms=int(str(world.ask("/sandbox/clock")["now_ms"])) + off_ms)
    venue = make_venue(LabSettings(venue=VenueSettings(base_url=url or world.url)), KEYS, clock)
    try:
        yield venue, clock
    finally:
        await venue.close()


def named(checks: list[Check], name: str) -> Check:
    (found,) = [check for check in checks if check.name == name]
    return found


def test_a_healthy_machine_is_green(home: Home) -> None:
    checks = doctor.machine_checks(home)
    assert {check.name for check in checks} == {"python", "disk", "memory", "folders"}
    assert is_green([check for check in checks if check.name != "memory"])


def test_a_full_disk_and_a_folder_of_somebody_else_are_bad(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1.5e9))
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != home.state)
    checks = doctor.machine_checks(home)
    assert named(checks, "disk") == Check("disk", Health.BAD, "1.5 GB free", "free at least 2 GB")
    assert named(checks, "folders").found == f"{home.state} cannot be written to"
    assert not is_green(checks)


def test_a_file_that_a_command_run_as_root_left_behind_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (home.audit_file, home.outbox / "000000000001.json", home.log_file):
        path.write_text("{}")
    (home.root / "backups").mkdir()
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).is_dir() and Path(path).name != "backups")
    found = named(doctor.machine_checks(home), "folders")
    assert found.health is Health.BAD
    assert found.found == f"{home.audit_file} cannot be written to, and 3 more"
    assert found.remedy == f"sudo chown -R {os.geteuid()}:{os.getegid()} {home.root}"


def test_a_folder_that_cannot_even_be_looked_into_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    look_into, shut = os.scandir, home.state / "paper"
    shut.mkdir(exist_ok=True)

    def refusing(path: str) -> object:
        if path == str(shut):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return look_into(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert named(doctor.machine_checks(home), "folders").found == f"{shut} cannot be written to"


@pytest.mark.parametrize(("available_gb", "swap_gb", "health"), [(1.2, 0, "good"), (0.9, 0, "bad"), (0.9, 4, "good")])
def test_swap_counts_as_memory(home: Home, tmp_path: Path, available_gb: float, swap_gb: float, health: str) -> None:
    meminfo = tmp_path / "meminfo"
    kb = {"MemTotal": 2.0, "MemAvailable": available_gb, "SwapFree": swap_gb}
    meminfo.write_text("".join(f"{name}: {size * 1e6:.0f} kB\n" for name, size in kb.items()))
    assert named(doctor.machine_checks(home, meminfo=meminfo), "memory").health == health


def test_what_is_not_configured_is_a_warning_with_its_name(home: Home) -> None:
    checks = doctor.settings_checks(home, NOTHING, Clock())
    assert is_green(checks)
    assert named(checks, "telegram").remedy == "TELEGRAM_TOKEN and TELEGRAM_CHAT_ID in .env"
    assert named(checks, ".env").remedy == "cp .env.example .env; chmod 600 .env"
    assert {check.health for check in checks} == {Health.WARNING}


def test_a_stop_and_a_torn_file_are_shown_with_what_to_do(home: Home) -> None:
    stop_trading(home, by="ada", why="test", at_ms=0, keep_positions=False)
    (home.strategies / "testing" / "mr-1.json").write_text("{torn")
    checks = doctor.settings_checks(home, NOTHING, Clock())
    assert named(checks, "stop").found == "TRADING_STOPPED.json is there"
    assert "--release" in named(checks, "stop").remedy
    assert named(checks, "files").health is Health.BAD
    assert "mr-1.json" in named(checks, "files").found


async def test_an_exchange_that_answers_with_a_right_clock_and_a_right_key_is_green(world: World) -> None:
    async with venue_of(world) as (venue, clock):
        checks = await doctor.venue_checks(venue, clock, with_keys=True)
    assert [check.name for check in checks] == ["exchange answers", "clock", "key rights"]
    assert is_green(checks)
    assert named(checks, "key rights").found == "trade only, bound to an address"


@pytest.mark.parametrize("off_ms", [-30_000, 30_000])
async def test_a_clock_that_is_off_is_bad(world: World, off_ms: int) -> None:
    async with venue_of(world, off_ms=off_ms) as (venue, clock):
        checks = await doctor.venue_checks(venue, clock, with_keys=False)
    assert named(checks, "clock").health is Health.BAD
    assert "timedatectl" in named(checks, "clock").remedy


async def test_an_exchange_that_does_not_answer_is_one_bad_line(world: World) -> None:
    async with venue_of(world, url="http://127.0.0.1:9") as (venue, clock):
        (check,) = await doctor.venue_checks(venue, clock, with_keys=True)
    assert (check.name, check.health) == ("exchange answers", Health.BAD)
    assert "./lab demo" in check.remedy


async def test_each_right_too_many_or_too_few_is_named(world: World) -> None:
    put(world, "/sandbox/key", {"withdrawals": True, "ip_restricted": False})
    try:
        async with venue_of(world) as (venue, clock):
            (check,) = await doctor.key_checks(venue, clock)
    finally:
        put(world, "/sandbox/key", {"withdrawals": False, "ip_restricted": True})
    assert check.health is Health.BAD
    assert "may withdraw" in check.found
    assert "not bound to an address" in check.found


async def test_a_key_that_lapses_within_a_week_is_bad_and_one_that_lapses_later_is_not(world: World) -> None:
    try:
        async with venue_of(world) as (venue, clock):
            put(world, "/sandbox/key", {"expires_ms": clock.now_ms() + 6 * 86_400_000})
            (soon,) = await doctor.key_checks(venue, clock)
            put(world, "/sandbox/key", {"expires_ms": clock.now_ms() + 8 * 86_400_000})
            (later,) = await doctor.key_checks(venue, clock)
    finally:
        put(world, "/sandbox/key", {"expires_ms": 0})
    assert soon.health is Health.BAD
    assert "the key's right to trade ends 20" in soon.found
    assert later.health is Health.GOOD


async def test_on_the_testnet_a_key_need_not_be_bound_to_an_address_but_may_still_not_withdraw(world: World) -> None:
    put(world, "/sandbox/key", {"withdrawals": False, "ip_restricted": False})
    try:
        async with venue_of(world) as (venue, clock):
            checks = await doctor.venue_checks(venue, clock, with_keys=True, testnet=True)
            (live,) = await doctor.key_checks(venue, clock)
            put(world, "/sandbox/key", {"withdrawals": True, "ip_restricted": False})
            (withdrawing,) = await doctor.key_checks(venue, clock, testnet=True)
    finally:
        put(world, "/sandbox/key", {"withdrawals": False, "ip_restricted": True})
    assert named(checks, "key rights") == Check("key rights", Health.GOOD, "trade only, testnet: bound to no address")
    assert live.health is Health.BAD
    assert withdrawing.found == "the key may withdraw: take that right away"


@pytest.mark.parametrize(
    ("token", "chat", "health", "said"),
    [
        (sandbox.telegram.TOKEN, "42", Health.GOOD, "bot sandbox_bot may write to the chat"),
        ("1:another", "42", Health.BAD, "getMe: TELEGRAM_TOKEN is not accepted"),
        (
            sandbox.telegram.TOKEN,
            "@nobody",
            Health.BAD,
            "TELEGRAM_CHAT_ID=@nobody: chat not found; write to the bot there",
        ),
    ],
)
async def test_telegram_says_whether_the_bot_may_write_to_the_chat_and_writes_nothing(
    world: World, token: str, chat: str, health: Health, said: str
) -> None:
    taken = world.ask("/sandbox/telegram")
    async with Telegram(SecretStr(token), chat, base_url=world.url) as telegram:
        check = await doctor.telegram_check(telegram)
    assert check.health is health
    assert said in check.found
    assert token not in check.found
    assert world.ask("/sandbox/telegram") == taken


async def test_no_telegram_is_a_warning() -> None:
    assert (await doctor.telegram_check(None)).health is Health.WARNING


@pytest.mark.parametrize(
    ("env", "code", "words"),
    [
        (f"TELEGRAM_TOKEN={sandbox.telegram.TOKEN}\nTELEGRAM_CHAT_ID=42\n", 0, "Telegram took it"),
        ("TELEGRAM_TOKEN=1:another\nTELEGRAM_CHAT_ID=42\n", 1, "TELEGRAM_TOKEN is not accepted"),
        ("", 2, "no TELEGRAM_TOKEN"),
    ],
)
def test_the_test_notification_says_by_its_status_whether_telegram_took_it(
    home: Home,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    env: str,
    code: int,
    words: str,
) -> None:
    home.env_file.write_text(env)
    home.env_file.chmod(0o600)
    home.settings_file.write_text(f"telegram: {{base_url: '{world.url}'}}\n")
    monkeypatch.setenv("LAB_HOME", str(home.root))
    assert send_test_notification.main([]) == code
    told = capsys.readouterr()
    assert words in told.out + told.err


def test_limits_that_exclude_each_other_are_bad() -> None:
    assert limits_check(Decision(True, Reason.OK, 100.0, 5.0)).health is Health.GOOD
    check = limits_check(Decision(False, Reason.LIMITS_CONTRADICT, 4.0, 5.0, "trade_pct allows 4"))
    assert (check.health, check.found) == (Health.BAD, "LIMITS_CONTRADICT: trade_pct allows 4")


def test_the_screen_shows_remedies_only_where_something_is_to_do() -> None:
    lines = screen(
        [Check("python", Health.GOOD, "3.11.9", "install another"), Check("disk", Health.BAD, "1 GB", "free 2 GB")]
    ).splitlines()
    assert lines == ["ok    python             3.11.9", "BAD   disk               1 GB", f"{'':25}-> free 2 GB"]


def test_the_command_needs_no_network_when_told_so(home: Home) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "doctor", "--offline"],
        env={**os.environ, "LAB_HOME": str(home.root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert "python" in done.stdout
    assert "exchange answers" not in done.stdout


async def test_an_account_too_small_for_the_smallest_order_is_told_which_limits_exclude_it(
    world: World,
) -> None:
    settings = LabSettings(venue=VenueSettings(base_url=world.url))
    async with venue_of(world) as (venue, _):
        assert (await feasibility_check(settings, venue)).health is Health.GOOD
        tiny = settings.model_copy(update={"risk": RiskLimits(trade_pct=0.01)})
        check = await feasibility_check(tiny, venue)
    assert check.health is Health.BAD
    assert "LIMITS_CONTRADICT: trade_pct of 20000.00 equity allows 2.00, but" in check.found
    async with venue_of(world, url="http://127.0.0.1:9") as (venue, _):
        silent = await feasibility_check(settings, venue)
    assert (silent.health, silent.remedy) == (Health.BAD, "try again when the exchange answers")


def test_the_command_says_whether_any_trade_is_permitted(home: Home, world: World) -> None:
    home.settings_file.write_text(f"venue: {{base_url: '{world.url}', follow_sandbox_clock: true}}\n")
    home.env_file.write_text("BINANCE_API_KEY=sandbox-key\nBINANCE_API_SECRET=sandbox-secret\n")
    home.env_file.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "doctor"],
        env={**os.environ, "LAB_HOME": str(home.root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "ok    limits feasible" in done.stdout, done.stdout + done.stderr
