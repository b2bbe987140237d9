"""What wears out of a lab left alone, as lines of the doctor: version, swap, time sync, data, record, backup, messages.

None of it forbids trading, so nothing here is worse than a warning.
"""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from ai_brain.evidence.code_version import code_sha256
from ops.doctor.checks import Check, Health, in_container, on_host
from ops.door import ROOT
from ops.figures import size
from ops.reader import MessageSettings
from ops.status import read_status
from trading.domain.clock import Clock
from trading.domain.errors import TradingEngineError
from trading.notify.message import Message
from trading.notify.outbox import waiting_files
from trading.storage.file_age import file_age_s
from trading.storage.home import Home
from trading.storage.raw_log import began_ms, largest_file_bytes, raw_files
from trading.storage.recording_settings import RecordingSettings

if TYPE_CHECKING:
    from ai_brain.llm.gemini import Gemini

MIN_ROOM_GB = 3.5
"""Memory and swap together: service, guardian, and research in processes of their own."""
MAX_BACKUP_AGE_DAYS = 8.0
"""The weekly one, and a day."""
MAX_CYCLE_AGE_S = 300.0
MIN_QUALITY = 50.0
MAX_WAIT_S = 3600.0
"""What waited longer has not been taken."""
PARITY_HOURS = 25.0
"""The night compares the whole day before; it asks in the first hour of the next."""
REPORT = Message("report", "any")
TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""


def upkeep_checks(home: Home, messages: MessageSettings, recording: RecordingSettings, clock: Clock) -> list[Check]:
    """All of them that ask nobody outside."""
    return [
        version_check(ROOT),
        swap_check(Path("/proc/meminfo")),
        time_sync_check(),
        data_check(home, clock),
        recording_check(home, recording),
        backup_check(home, clock),
        messages_check(home, messages, clock),
    ]


def version_check(root: Path) -> Check:
    """Which commit runs; where it is none, the code by the hash that evidence names it by."""
    git = shutil.which("git")
    words = [git or "git", "-c", f"safe.directory={root}", "-C", str(root), "describe", "--always", "--tags", "--dirty"]
    done = subprocess.run(words, capture_output=True, text=True, check=False) if git else None  # noqa: S603  # no shell
    if done is None or done.returncode != 0:
        health = Health.GOOD if in_container() else Health.WARNING  # an image is built anew, not updated
        found = f"not from git; code sha256 {code_sha256()[:12]}, as evidence names it"
        return Check("version", health, found, "a git checkout says what it is, and can be updated")
    found = done.stdout.strip()
    if found.endswith("-dirty"):
        return Check("version", Health.WARNING, found, "it has changes of its own: git status; an update refuses them")
    return Check("version", Health.GOOD, found)


def swap_check(meminfo: Path) -> Check:
    """Whether memory and swap together carry research beside the service."""
    lines = (line.split() for line in meminfo.read_text().splitlines())
    kb = {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1}
    memory_gb, swap_gb = kb["MemTotal"] / 1e6, kb.get("SwapTotal", 0) / 1e6
    health = Health.GOOD if memory_gb + swap_gb >= MIN_ROOM_GB else Health.WARNING
    found = f"{swap_gb:.1f} GB beside {memory_gb:.1f} GB of memory"
    remedy = "fallocate -l 2G /swapfile; chmod 600 /swapfile; mkswap /swapfile; swapon /swapfile"
    return Check("swap", health, found, on_host(remedy))


def time_sync_check() -> Check:
    """Whether the kernel holds its clock for synchronised, whoever keeps it so."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # zeros: only look
    if 0 <= state < TIME_ERROR:
        return Check("time sync", Health.GOOD, "the clock is kept right")
    found = "the clock is kept right by nobody" if state == TIME_ERROR else "not known"
    remedy = on_host("timedatectl set-ntp true; or apt install systemd-timesyncd")
    return Check("time sync", Health.WARNING, found, remedy)


def data_check(home: Home, clock: Clock) -> Check:
    """Whether the last cycle is young and rested on good data."""
    status = read_status(home, clock)
    age_s, quality = status.heartbeat_age_s, status.heartbeat.get("data_quality")
    if age_s is None:
        return Check("data", Health.WARNING, "no cycle yet", "./lab run")
    if not isinstance(quality, int | float):
        return Check("data", Health.WARNING, "not known", "python get_status.py says what cannot be read")
    found = f"quality {quality:.0f} of 100, {_ago(age_s)} ago"
    if age_s > MAX_CYCLE_AGE_S:
        return Check("data", Health.WARNING, found, "python get_status.py says whether the lab runs")
    if quality < MIN_QUALITY:
        return Check("data", Health.WARNING, found, "usually the exchange; grep data.blocked logs/ai_lab.log")
    return Check("data", Health.GOOD, found)


def recording_check(home: Home, recording: RecordingSettings) -> Check:
    """Whether the raw record reaches back as far as nightly parity looks, where its limit has begun to remove files."""
    if not recording.enabled:
        return Check("recording", Health.WARNING, "off", "recording.enabled in lab.yaml: nightly parity reads it")
    files = raw_files(home.recordings)
    sizes = [path.stat().st_size for path in files]
    if not files:
        return Check("recording", Health.GOOD, "nothing yet")
    hours, used_gb = (began_ms(files[-1]) - began_ms(files[0])) / 3_600_000, sum(sizes) / 1e9
    since = f"the last {hours:.0f} h" if hours >= 1 else "less than an hour"
    found = f"{since} in {size(sum(sizes))} of {recording.max_gb:g} GB"
    full = used_gb >= recording.max_gb - (largest_file_bytes(recording.max_bytes) + max(sizes)) / 1e9
    if full and hours < PARITY_HOURS:
        wanted_gb = math.ceil(2.0 * used_gb * PARITY_HOURS / max(hours, 1.0))
        remedy = f"recording.max_gb: {wanted_gb} in lab.yaml; nightly parity compares the whole day before"
        return Check("recording", Health.WARNING, found, remedy)
    return Check("recording", Health.GOOD, found)


def backup_check(home: Home, clock: Clock) -> Check:
    """How old the newest archive is."""
    archives = sorted((home.root / "backups").glob("lab-*.tar.gz"))
    if not archives:
        return Check("backup", Health.WARNING, "none", "./lab backup; the weekly one comes on Sunday")
    age_s = file_age_s(archives[-1], clock) or 0.0  # one that has just gone is of now
    good = age_s <= MAX_BACKUP_AGE_DAYS * 86_400
    health = Health.GOOD if good else Health.WARNING
    return Check("backup", health, f"{archives[-1].name}, {_ago(age_s)} old", "./lab backup")


def messages_check(home: Home, messages: MessageSettings, clock: Clock) -> Check:
    """Whether messages wait, for which channel and for how long; in quiet hours they may."""
    found, is_late = list[str](), False
    for name, waiting in waiting_files(home.outbox).items():
        if waiting:
            oldest_s = max(file_age_s(path, clock) or 0.0 for path in waiting)
            found.append(f"{len(waiting)} wait{f' for {name}' if name else ''}, the oldest for {_ago(oldest_s)}")
            is_late |= oldest_s > MAX_WAIT_S
    if not found:
        return Check("messages", Health.GOOD, "none waits")
    if messages.holds(REPORT, clock.now_ms()):
        return Check("messages", Health.GOOD, f"{', '.join(found)}; quiet until {messages.quiet_to}")
    health = Health.WARNING if is_late else Health.GOOD
    return Check("messages", health, ", ".join(found), "python send_test_notification.py says what each channel says")


async def model_check(model: Gemini | None) -> Check:
    """Whether the language model's key and name are taken; costs nothing."""
    if model is None:
        return Check("model answers", Health.WARNING, "not configured", "the library of published effects goes on")
    try:
        name = await model.check()
    except TradingEngineError as error:
        return Check("model answers", Health.WARNING, str(error), "GEMINI_API_KEY in .env, gemini.model in lab.yaml")
    return Check("model answers", Health.GOOD, name)


def _ago(seconds: float) -> str:
    for length, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
