"""`./lab doctor`: one screen, each check with a remedy. `go_live.py` wants every line green."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ops.drill.filed import FRESH_DAYS, read_drills, standing
from ops.environment import Environment
from ops.figures import figure
from ops.status import read_status
from ops.telling.channels import check_channels, open_mail
from trading.domain.clock import Clock
from trading.domain.decisions import Decision
from trading.domain.errors import TradingEngineError
from trading.domain.venue import MarketData, Venue
from trading.risk.key_rights import faults_of
from trading.storage.home import Home

if TYPE_CHECKING:
    from ops.settings import LabSettings
    from trading.notify.telegram import Telegram

MIN_DISK_GB = 2.0
MIN_MEMORY_GB = 1.0
MAX_CLOCK_OFFSET_S = 1.0
"""Binance refuses signed calls whose time is further off than its window; a second is plenty of warning."""


class Health(StrEnum):
    """What a check found."""

    GOOD = "good"
    WARNING = "warning"
    """The lab works, but less than it could."""
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's screen."""

    name: str
    health: Health
    found: str
    remedy: str = ""


def in_container() -> bool:
    """Whether this process runs in one, as `deploy/Containerfile` says; see systemd's container interface."""
    return bool(os.environ.get("container"))  # noqa: SIM112  # its name is in small letters


def on_host(remedy: str) -> str:
    """A remedy that is taken on the machine itself: a container has its clock and its memory from there."""
    return f"on the host: {remedy}" if in_container() else remedy


def machine_checks(home: Home, *, meminfo: Path = Path("/proc/meminfo")) -> list[Check]:
    """Python, disk, memory, folders: no network."""
    return [_python(), _disk(home), _memory(meminfo), _folders(home)]


def settings_checks(home: Home, environment: Environment, clock: Clock) -> list[Check]:
    """Keys, gates, stops, files: no network."""
    status = read_status(home, clock)
    checks = [
        _env_file(home),
        _present("telegram", environment.telegram_token is not None, "TELEGRAM_TOKEN and TELEGRAM_CHAT_ID in .env"),
        _present("language model", environment.gemini_api_key is not None, "GEMINI_API_KEY in .env"),
        _present("trading keys", environment.binance_api_key is not None, "BINANCE_API_KEY and BINANCE_API_SECRET"),
    ]
    if environment.binance_api_key is not None:
        checks.append(drills_check(home, clock))
    if status.stop:
        checks.append(Check("stop", Health.WARNING, status.stop, "python stop_trading.py --release, when you mean it"))
    checks += [Check("files", Health.BAD, problem, "restore it from a backup") for problem in status.problems]
    return checks


def drills_check(home: Home, clock: Clock) -> Check:
    """Whether stop, crash, a failed leg and a lost key were rehearsed not long ago, and passed."""
    found = standing(read_drills(home), now_ms=clock.system_ms())
    remedy = f"./lab drill plays all four in a minute; they count for {FRESH_DAYS} days"
    return Check("drills", Health.GOOD if found.is_fresh else Health.WARNING, found.words, remedy)


async def telegram_check(telegram: Telegram | None) -> Check:
    """Whether Telegram knows the bot, and lets it write to the chat."""
    if telegram is None:
        return Check("telegram answers", Health.WARNING, "not configured", "messages go to the console meanwhile")
    try:
        name = await telegram.check()
    except TradingEngineError as error:
        return Check("telegram answers", Health.BAD, str(error), "TELEGRAM_TOKEN and TELEGRAM_CHAT_ID in .env")
    return Check("telegram answers", Health.GOOD, f"bot {name} may write to the chat")


async def channel_checks(environment: Environment, settings: LabSettings, clock: Clock) -> list[Check]:
    """Whether the mail server lets us in, and what the webhook is; nothing is sent. Not set up: not told."""
    checks = []
    try:
        check_channels(environment, settings)
    except TradingEngineError as error:
        return [Check("channels", Health.BAD, str(error), "see docs/messages.md")]
    if environment.webhook_url is not None:
        checks.append(Check("webhook", Health.GOOD, "set up; python send_test_notification.py tries it"))
    mail = open_mail(environment, settings, clock)
    if mail is not None:
        try:
            checks.append(Check("email", Health.GOOD, await mail.check()))
        except TradingEngineError as error:
            checks.append(Check("email", Health.BAD, str(error), "messages: in lab.yaml, EMAIL_PASSWORD in .env"))
    return checks


async def venue_checks(venue: Venue, clock: Clock, *, with_keys: bool, testnet: bool = False) -> list[Check]:
    """Whether the exchange answers, agrees on the time, and what the keys may do."""
    checks = await answer_checks(venue, clock)
    if not with_keys or checks[0].health is Health.BAD:
        return checks
    return checks + await key_checks(venue, clock, testnet=testnet)


async def answer_checks(data: MarketData, clock: Clock, *, name: str = "exchange") -> list[Check]:
    """Whether an exchange answers and agrees on the time."""
    try:
        await data.time_ms()  # the first answer also takes a library that is loaded and a connection that is made
        before_s, before_ms = clock.real_s(), clock.now_ms()
        theirs_ms = await data.time_ms()
        offset_s = (theirs_ms - (before_ms + clock.now_ms()) / 2) / 1000.0
        took_s = clock.real_s() - before_s
    except TradingEngineError as error:
        return [Check(f"{name} answers", Health.BAD, str(error), "check the network; ./lab demo works without one")]
    off = abs(offset_s) > MAX_CLOCK_OFFSET_S + took_s / 2
    return [
        Check(f"{name} answers", Health.GOOD, f"in {took_s * 1000:.0f} ms"),
        Check(
            "clock",
            Health.BAD if off else Health.GOOD,
            f"{figure(offset_s, '+.2f')} s from the exchange's",
            on_host("turn on time sync: timedatectl set-ntp true") if off else "",
        ),
    ]


async def key_checks(venue: Venue, clock: Clock, *, testnet: bool = False) -> list[Check]:
    """What the keys may do, as the exchange says: trade, but never withdraw, only from here, and for days to come."""
    try:
        may = await venue.permissions()
    except TradingEngineError as error:
        return [Check("key rights", Health.BAD, str(error), "make a new key on the exchange's API page")]
    wrong = faults_of(may, now_ms=clock.now_ms(), testnet=testnet)
    if wrong:
        return [Check("key rights", Health.BAD, "; ".join(wrong), "on the exchange's API page")]
    bound = "bound to an address" if may.is_ip_restricted else "testnet: bound to no address"
    return [Check("key rights", Health.GOOD, f"trade only, {bound}")]


def limits_check(feasible: Decision) -> Check:
    """Whether, with this equity and these limits, any trade is possible at all."""
    if feasible.allowed:
        return Check("limits feasible", Health.GOOD, feasible.note or "at least one trade fits")
    return Check("limits feasible", Health.BAD, f"{feasible.reason}: {feasible.note}", "change the limits in lab.yaml")


def is_green(checks: Sequence[Check]) -> bool:
    """Nothing is bad."""
    return all(check.health is not Health.BAD for check in checks)


def screen(checks: Sequence[Check]) -> str:
    """The doctor's screen as text."""
    signs = {Health.GOOD: "ok  ", Health.WARNING: "warn", Health.BAD: "BAD "}
    lines = []
    for check in checks:
        lines.append(f"{signs[check.health]}  {check.name:18} {check.found}")
        if check.remedy and check.health is not Health.GOOD:
            lines.append(f"      {'':18} -> {check.remedy}")
    return "\n".join(lines)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] < (3, 15)
    return Check("python", Health.GOOD if good else Health.BAD, version, "install Python 3.11 to 3.14")


def _disk(home: Home) -> Check:
    free_gb = shutil.disk_usage(home.root).free / 1e9
    health = Health.GOOD if free_gb >= MIN_DISK_GB else Health.BAD
    return Check("disk", health, f"{free_gb:.1f} GB free", f"free at least {MIN_DISK_GB:.0f} GB")


def _memory(meminfo: Path) -> Check:
    """What a process that starts now may take: of memory, and of swap where there is some."""
    kb = {line.split(":")[0]: int(line.split()[1]) for line in meminfo.read_text().splitlines()}
    available_gb, swap_gb = kb["MemAvailable"] / 1e6, kb.get("SwapFree", 0) / 1e6
    found = f"{available_gb:.1f} GB available" + (f", {swap_gb:.1f} GB of swap free" if swap_gb else "")
    health = Health.GOOD if available_gb + swap_gb >= MIN_MEMORY_GB else Health.BAD
    return Check("memory", health, found, f"the lab needs {MIN_MEMORY_GB:.0f} GB; add swap")


def _folders(home: Home) -> Check:
    """Whether every folder and file that the lab writes is its own: a command run as root leaves others behind."""
    if os.statvfs(home.root).f_flag & os.ST_RDONLY:
        found = f"{home.root} is on a file system that is read-only"
        return Check("folders", Health.BAD, found, "why: dmesg | tail; then: sudo mount -o remount,rw its mount point")
    refused: list[Path] = []

    def shut(error: OSError) -> None:  # a folder that cannot even be looked into is passed over without a word else
        if isinstance(error, PermissionError):
            refused.append(Path(error.filename))

    for top in (home.strategies, home.state, home.logs, home.tapes, home.recordings, home.root / "backups"):
        for folder, _, files in os.walk(top, onerror=shut):
            refused += [] if os.access(folder, os.W_OK | os.X_OK) else [Path(folder)]
            refused += [path for name in files if not _is_writable(path := Path(folder, name))]
    if not refused:
        return Check("folders", Health.GOOD, "writable")
    more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
    found = f"{refused[0]} cannot be written to{more}"
    return Check("folders", Health.BAD, found, f"sudo chown -R {os.geteuid()}:{os.getegid()} {home.root}")


def _is_writable(path: Path) -> bool:
    """Or gone meanwhile: a lab that runs replaces its files."""
    return os.access(path, os.W_OK) or not path.exists()


def _env_file(home: Home) -> Check:
    if not home.env_file.exists():
        return Check(".env", Health.WARNING, "none", "cp .env.example .env; chmod 600 .env")
    mode = stat.filemode(home.env_file.stat().st_mode)
    return Check(".env", Health.GOOD, mode)


def _present(name: str, there: bool, what: str) -> Check:
    return Check(name, Health.GOOD if there else Health.WARNING, "configured" if there else "none", what)
