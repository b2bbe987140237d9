"""What wears out while nobody looks: each line of it, good and not, with its remedy."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

import sandbox.gemini
from ai_brain.llm.gemini import Gemini, GeminiSettings
from ops.backup.keep import back_up
from ops.doctor import upkeep as doctor_upkeep
from ops.doctor.checks import Health
from ops.reader import MessageSettings
from ops.run import run_doctor
from tests.loopback import SetClock, serving
from trading.domain.clock import Clock, as_datetime, parse_iso
from trading.storage.home import Home
from trading.storage.raw_log import STEM, SUFFIX
from trading.storage.recording_settings import RecordingSettings

DAY_S = 86_400


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_the_version_is_the_commit_and_changes_of_its_own_are_told(tmp_path: Path) -> None:
    unknown = doctor_upkeep.version_check(tmp_path)
    assert re.fullmatch(r"not from git; code sha256 [0-9a-f]{12}, as evidence names it", unknown.found)
    assert unknown.health is Health.WARNING
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "one"], ["tag", "v1"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    assert (doctor_upkeep.version_check(tmp_path).health, doctor_upkeep.version_check(tmp_path).found) == (
        Health.GOOD,
        "v1",
    )
    (tmp_path / "mine").write_text("x")
    subprocess.run([*git, "add", "mine"], cwd=tmp_path, check=True)
    dirty = doctor_upkeep.version_check(tmp_path)
    assert (dirty.health, dirty.found) == (Health.WARNING, "v1-dirty")


def test_in_a_container_clock_and_swap_are_the_hosts_and_an_image_needs_no_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    containerfile = (Path(__file__).resolve().parents[2] / "deploy" / "Containerfile").read_text()
    assert " container=oci\n" in containerfile
    monkeypatch.setenv("container", "oci")
    (tmp_path / "meminfo").write_text("MemTotal: 1 kB\n")
    assert doctor_upkeep.version_check(tmp_path).health is Health.GOOD
    assert doctor_upkeep.swap_check(tmp_path / "meminfo").remedy.startswith("on the host: fallocate")
    monkeypatch.setattr(doctor_upkeep, "TIME_ERROR", -9)
    assert doctor_upkeep.time_sync_check().remedy.startswith("on the host: timedatectl")


@pytest.mark.parametrize(("swap_kb", "health"), [(0, Health.WARNING), (2_000_000, Health.GOOD)])
def test_a_small_machine_wants_swap(tmp_path: Path, swap_kb: int, health: Health) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal:        2000000 kB\nMemFree: 1 kB\nSwapTotal:       {swap_kb} kB\n")
    check = doctor_upkeep.swap_check(meminfo)
    assert check.health is health
    assert "mkswap" in check.remedy


def test_the_kernel_says_whether_its_clock_is_kept_right() -> None:
    check = doctor_upkeep.time_sync_check()
    assert check.health in (Health.GOOD, Health.WARNING)
    assert check.found.startswith("the clock is kept right")


@pytest.mark.parametrize(
    ("quality", "age_s", "health", "words"),
    [
        (100, 5, Health.GOOD, r"quality 100 of 100, \d+ s ago"),
        (100, 7300, Health.WARNING, "quality 100 of 100, 2 h ago"),
        (12, 5, Health.WARNING, r"quality 12 of 100, \d+ s ago"),
    ],
)
def test_old_cycles_and_bad_data_are_told(home: Home, quality: int, age_s: int, health: Health, words: str) -> None:
    assert doctor_upkeep.data_check(home, Clock()).found == "no cycle yet"
    home.heartbeat_file.write_text(json.dumps({"schema": 1, "data_quality": quality}))
    age(home.heartbeat_file, age_s)
    check = doctor_upkeep.data_check(home, Clock())
    assert check.health is health
    assert re.fullmatch(words, check.found)


@pytest.mark.parametrize(
    ("hours", "each_mb", "health", "words"),
    [
        (1, 1, Health.GOOD, "less than an hour in 1.0 MB of 2 GB"),
        (18, 100, Health.WARNING, "the last 17 h in 1.8 GB of 2 GB"),
        (40, 45, Health.GOOD, "the last 39 h in 1.8 GB of 2 GB"),
    ],
)
def test_a_recording_that_cannot_hold_a_day_says_what_it_needs(
    home: Home, hours: int, each_mb: int, health: Health, words: str
) -> None:
    home.recordings.mkdir()
    for hour in range(hours):
        stem = as_datetime(parse_iso("2026-01-22") + hour * 3_600_000).strftime(STEM)
        with (home.recordings / f"{stem}-000{SUFFIX}").open("wb") as file:
            file.truncate(each_mb * 1_000_000)  # a hole: it takes no room
    check = doctor_upkeep.recording_check(home, RecordingSettings())
    assert (check.health, check.found) == (health, words)
    assert ("recording.max_gb: 6 " in check.remedy) == (health is Health.WARNING)


def test_a_recording_that_is_off_is_told(home: Home) -> None:
    assert doctor_upkeep.recording_check(home, RecordingSettings(enabled=False)).health is Health.WARNING


def test_a_backup_that_is_missing_or_old_is_told(home: Home) -> None:
    assert doctor_upkeep.backup_check(home, Clock()).found == "none"
    archive = back_up(home, parse_iso("2024-06-02"))
    assert doctor_upkeep.backup_check(home, Clock()).health is Health.GOOD
    age(archive, 9 * DAY_S + 60)
    old = doctor_upkeep.backup_check(home, Clock())
    assert (old.health, old.found) == (Health.WARNING, "lab-2024-06-02T000000Z.tar.gz, 9 days old")


def test_messages_that_wait_for_long_are_told(home: Home) -> None:
    awake = MessageSettings()
    assert doctor_upkeep.messages_check(home, awake, Clock()).found == "none waits"
    message, mail = home.outbox / "000000000001.json", home.outbox / "email" / "000000000001.json"
    mail.parent.mkdir()
    message.write_text("{}")
    mail.write_text("{}")
    assert doctor_upkeep.messages_check(home, awake, Clock()).health is Health.GOOD
    age(mail, 3 * 3600 + 60)
    late = doctor_upkeep.messages_check(home, awake, Clock())
    assert late.health is Health.WARNING
    assert late.found == "1 wait, the oldest for 0 s, 1 wait for email, the oldest for 3 h"


def test_messages_that_wait_for_the_end_of_the_quiet_hours_are_not_late(home: Home) -> None:
    (home.outbox / "000000000001.json").write_text("{}")
    age(home.outbox / "000000000001.json", 3 * 3600 + 60)
    asleep = MessageSettings(quiet_from="22:00", quiet_to="07:00")
    held = doctor_upkeep.messages_check(home, asleep, Clock(scale=1e-6, origin_ms=parse_iso("2026-01-22T03:00Z")))
    assert (held.health, held.found) == (Health.GOOD, "1 wait, the oldest for 3 h; quiet until 07:00")


async def test_the_model_answers_for_nothing_and_a_wrong_key_is_named() -> None:
    assert (await doctor_upkeep.model_check(None)).found == "not configured"
    desk = sandbox.gemini.GeminiDesk(SetClock())
    async with serving(desk) as url:
        settings = GeminiSettings(model="gemini-x", base_url=url)
        async with Gemini(settings, api_key=SecretStr(sandbox.gemini.API_KEY)) as model:
            good = await doctor_upkeep.model_check(model)
        async with Gemini(settings, api_key=SecretStr("another")) as model:
            wrong = await doctor_upkeep.model_check(model)
    async with Gemini(GeminiSettings(base_url=url), api_key=SecretStr("k")) as model:
        silent = await doctor_upkeep.model_check(model)
    assert (good.health, good.found) == (Health.GOOD, "gemini-x")
    assert "check GEMINI_API_KEY" in wrong.found
    assert silent.found == "gemini: no answer within 30 s: ConnectError"
    assert desk.asked == [], "nothing was asked that costs"


def test_the_doctor_shows_it_all_on_one_screen(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    run_doctor(offline=True)
    lines = capsys.readouterr().out.splitlines()
    names = [line[6:24].strip() for line in lines if not line.startswith(" ")]
    worn = ["version", "swap", "time sync", "data", "recording", "backup", "messages"]
    assert names[:11] == ["python", "disk", "memory", "folders", *worn]
    assert len(lines) <= 40, "one screen"
