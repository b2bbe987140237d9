"""What holds of every view alike: it says whether the lab lives and what stops it, and no file can end it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

import pytest

from ops.dashboard.view import Facts, Tone, View
from ops.dashboard.views import BY_KEY, KINDS, Asked, Kind, look, signature
from ops.status import ALIVE_S
from tests.ops.dashboard.rooms import beat, client, cycles
from tests.ops.papers import put_in_review
from trading.domain.clock import Clock
from trading.storage.files import write_json
from trading.storage.home import Home

KEYS = [kind.key for kind in KINDS]
FAR_MS = 10**17
PATHS = ("/", *(f"/{key}" for key in KEYS[1:]), "/audit?line=0", "/series/equity?of=live")


def seen(home: Home, key: str, **words: str) -> View:
    return look(BY_KEY[key], Asked(home, Clock(), words=words))


def heartbeat(home: Home, **changes: object) -> None:
    """Changed behind the service's back, as no writer of ours would."""
    told = json.loads(home.heartbeat_file.read_text()) | changes
    home.heartbeat_file.write_text(json.dumps(told))


def last_line(home: Home, old: str, new: str) -> None:
    lines = home.audit_file.read_text().splitlines()
    assert old in lines[-1]
    home.audit_file.write_text("\n".join([*lines[:-1], lines[-1].replace(old, new, 1)]) + "\n")


@pytest.mark.parametrize("key", KEYS)
def test_every_view_says_that_the_lab_does_not_run_and_what_stops_it(home: Home, key: str) -> None:
    cycles(home, 2)
    beat(home, age_s=ALIVE_S + 60)
    home.pause_file.touch()
    assert [banner.text for banner in seen(home, key).banners][:2] == [
        "The service: NOT RUNNING, heartbeat 360 s old",
        "PAUSED: no new positions while state/PAUSED is there",
    ]
    home.kill_files[0].touch()
    stopped = seen(home, key).banners[1]
    assert (stopped.text.partition(";")[0], stopped.tone) == ("STOPPED: KILL_SWITCH is there", Tone.BAD)


@pytest.mark.parametrize("words", [{"line": "0"}, {"id": "no-such"}])
def test_one_cycle_and_one_strategy_say_so_too(home: Home, words: dict[str, str]) -> None:
    cycles(home, 1)
    home.kill_files[0].touch()
    view = seen(home, "audit" if "line" in words else "strategies", **words)
    assert "STOPPED" in view.banners[1].text


@pytest.mark.parametrize("key", KEYS)
def test_a_stop_is_news_for_every_view(home: Home, key: str) -> None:
    before = signature(BY_KEY[key], home)
    home.kill_files[0].touch()
    assert signature(BY_KEY[key], home) != before


def test_without_a_halt_risk_does_not_call_a_stopped_lab_good(home: Home) -> None:
    write_json(home.state / "risk_counters.json", {"day": "2026-01-21"}, schema=1)
    beat(home, age_s=ALIVE_S + 60)
    assert Tone.GOOD not in [banner.tone for banner in seen(home, "risk").banners]


def test_the_quality_of_data_that_nobody_looks_at_any_more_is_not_known(home: Home) -> None:
    def quality() -> tuple[str, Tone]:
        now = next(b for b in seen(home, "data").blocks if isinstance(b, Facts) and b.title == "Now")
        cell = dict(now.rows)["Quality now"]
        return cell.text, cell.tone

    cycles(home, 1)
    assert quality() == ("97 of 100", Tone.GOOD)
    hours_ago = time.time() - 3 * 3600
    os.utime(home.audit_file, (hours_ago, hours_ago))
    assert quality() == ("not known: 97 of 100 when last looked at, 3 h ago", Tone.BAD)


def far_cycle(home: Home) -> None:
    last_line(home, '"at_ms":', '"at_ms":99999999')


def equity_is_no_number(home: Home) -> None:
    last_line(home, '"equity_quote":"1002"', '"equity_quote":"NaN"')


def far_heartbeat(home: Home) -> None:
    heartbeat(home, at_ms=FAR_MS)


def far_halt(home: Home) -> None:
    halt = {"reason": "DAILY_LOSS", "at_ms": FAR_MS, "value": 1, "limit": 2, "note": ""}
    write_json(home.state / "risk_counters.json", {"day": "2025-01-01", "halts": [halt]}, schema=1)


def far_schedule(home: Home) -> None:
    write_json(home.state / "schedule.json", {"loop": FAR_MS}, schema=1)


def quality_is_no_number(home: Home) -> None:
    heartbeat(home, data_quality=float("nan"))


def reasons_without_a_count(home: Home) -> None:
    heartbeat(home, no_trade_reasons={"HOLDING": 0})


def nested_without_end(home: Home) -> None:
    home.heartbeat_file.write_text("[" * 200_000)


@pytest.mark.parametrize(
    ("breaks", "told"),
    [
        (far_cycle, {"/audit": "1 lines are none of the audit file"}),
        (equity_is_no_number, {"/audit": "1 lines are none of the audit file"}),
        (far_heartbeat, {"/": "no moment in UTC milliseconds", "/health": "heartbeat.json: at_ms="}),
        (far_halt, {"/": "risk_counters.json: at_ms=", "/risk": "risk_counters.json: at_ms="}),
        (far_schedule, {"/health": "schedule.json: loop"}),
        (quality_is_no_number, {"/": "heartbeat.json: data_quality=nan: not a finite number"}),
        (reasons_without_a_count, {"/": "HOLDING 0×"}),
        (nested_without_end, {"/": "heartbeat.json: cannot be read", "/strategies": "Cannot be read"}),
    ],
)
async def test_one_senseless_number_ends_no_view_and_is_named(
    home: Home, breaks: Callable[[Home], None], told: dict[str, str]
) -> None:
    put_in_review(home)
    beat(home)
    cycles(home, 3)
    breaks(home)
    async with client(home) as browser:
        answers = {path: await browser.get(path) for path in PATHS}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(PATHS, 200)
    assert not [path for path, answer in answers.items() if "This view cannot be shown" in answer.text]
    for path, words in told.items():
        assert words in answers[path].text, path


def test_the_newest_cycle_that_makes_sense_stands_for_one_that_does_not(home: Home) -> None:
    cycles(home, 3)
    far_cycle(home)
    now = next(b for b in seen(home, "data").blocks if isinstance(b, Facts) and b.title == "Now")
    assert dict(now.rows)["Quality now"].text == "97 of 100"


def test_a_view_that_fails_all_the_same_names_its_files_and_keeps_the_stop_in_sight(home: Home) -> None:
    def fails(_: Asked) -> View:
        raise OverflowError("date value out of range")

    cycles(home, 1)
    home.kill_files[0].touch()
    view = look(Kind("data", "Market data", fails, BY_KEY["data"].files), Asked(home, Clock()))
    assert "STOPPED" in view.banners[1].text
    assert "OverflowError: date value out of range (test_every_view.py, line" in view.banners[2].text
    assert "made of: state/audit.jsonl" in view.banners[2].text
