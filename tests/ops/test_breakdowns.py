"""What breaks under a lab that is left alone for weeks: every row of the run-book has a test, here or where it belongs.

The full disk and the read-only folder are real: a small file system of its own, mounted for one process where that is
permitted. Nothing else on the machine sees it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ops.settings import LabSettings, VenueSettings
from ops.venues import make_market_data
from tests.ops.test_doctor import NOTHING
from trading.domain.clock import Clock
from trading.domain.errors import NetworkDownError
from trading.storage.home import Home

ROOT = Path(__file__).resolve().parents[2]
OWN_MOUNTS = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]

SMALL_DISK = """
import json, subprocess, sys
from decimal import Decimal
from pathlib import Path
from trading.domain.decisions import Reason
from trading.domain.errors import StateFileError
from trading.execution.intents import Intents, Purpose
from trading.journal.audit import AuditLine, AuditLog, CycleStatus, verify_audit
from trading.risk.kill_switch import read_stop, stop_trading
from trading.storage.files import read_json, write_json
from trading.storage.home import Home
from trading.storage.lock import only_one
from trading.storage.reserve import keep_reserve

folder, breakdown = Path(sys.argv[1]), sys.argv[2]
audit, heartbeat = AuditLog(folder / "audit.jsonl"), folder / "heartbeat.json"
journal = Intents(folder / "intents.jsonl")
fill, refused, at_ms, stop = folder / "fill", {}, 0, None
home = Home(folder / "lab").make()
keep_reserve(home)


def cycle():
    global at_ms
    at_ms += 1
    note = "x" * 700
    audit.append(AuditLine(at_ms, "paper", CycleStatus.NO_TRADE, Reason.NOT_ARMED, "abc", note=note))


def intend():
    journal.begin(f"c-{at_ms:06d}", Purpose.OPEN, "BTCUSDT", (Decimal(1), Decimal(1)), leverage=1, at_ms=at_ms)


def beat():
    write_json(heartbeat, {"n": at_ms, "note": "x" * 5000}, schema=1)


def until_refused(name, work):
    try:
        for _ in range(200):
            work()
    except StateFileError as error:
        refused[name] = str(error)


for work in (cycle, intend, beat):
    work()
if breakdown == "full":
    with fill.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
else:
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
for name, work in (("audit", cycle), ("intents", intend), ("heartbeat", beat)):
    until_refused(name, work)
if breakdown == "read-only":
    until_refused("home", Home(folder / "elsewhere").make)
    until_refused("lock", only_one(folder / "lab.lock", what="the lab").__enter__)
lines = verify_audit(folder / "audit.jsonl").lines
kept = read_json(heartbeat, schema=1)["note"]
if breakdown == "full":
    with only_one(home.lock_file, what="the lab"):
        stop_trading(home, by="owner", why="a full disk", at_ms=at_ms, keep_positions=False)
    stop = read_stop(home, {}).demands_flat
    intend()
    fill.unlink()
else:
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
for work in (cycle, intend, beat):
    work()
check = verify_audit(folder / "audit.jsonl")
again = Intents(folder / "intents.jsonl")
print(json.dumps({
    "refused": refused, "lines": lines, "after": check.lines, "ok": check.ok, "kept": len(kept),
    "notes": again.notes, "stop": stop, "scraps": [path.name for path in folder.iterdir() if path.suffix == ".tmp"],
}), flush=True)
"""


def may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*OWN_MOUNTS, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0


def on_a_read_only_disk(home: Path, command: str) -> str:
    """What `./lab ...` prints on a read-only file system, and its exit status where that is asked for."""
    if not may_mount():
        pytest.skip("no file system of its own may be mounted here")
    mounted = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1" || exit 77; shift; exec "$@"'
    words = shlex.split(command.removesuffix("; echo $?"))[1:]
    done = subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", mounted, "sh", home, sys.executable, "-m", "ops.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    if done.returncode == 77:
        pytest.skip(f"no file system of its own may be mounted here: {done.stdout}")
    return done.stdout + (f"{done.returncode}\n" if command.endswith("; echo $?") else "")


needs_mounts = pytest.mark.skipif(not may_mount(), reason="no file system of its own may be mounted here")


@needs_mounts
@pytest.mark.parametrize(
    ("breakdown", "words"), [("full", "No space left on device"), ("read-only", "Read-only file system")]
)
def test_a_disk_that_takes_nothing_is_told_keeps_what_it_has_and_goes_on_whole_when_it_takes_again(
    tmp_path: Path, breakdown: str, words: str
) -> None:
    mounted = 'mount -t tmpfs -o size=2m none "$1" && exec "$2" -c "$3" "$1" "$4"'
    done = subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", mounted, "sh", tmp_path, sys.executable, SMALL_DISK, breakdown],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    start = {"home", "lock"} if breakdown == "read-only" else set()
    assert set(found["refused"]) == {"audit", "intents", "heartbeat"} | start, "nothing pretends to be on disk"
    for said in found["refused"].values():
        assert said.endswith(f"{words}; check space and permissions")
    assert found["kept"] == 5000, "the old heartbeat is whole"
    assert found["ok"], "the chain goes on: no half line was left in it"
    assert found["after"] == found["lines"] + 1
    assert found["notes"] == [], "nor in the journal of intents"
    assert found["scraps"] == []
    assert found["stop"] is (True if breakdown == "full" else None), "room is kept for a stop and its orders"


async def test_a_name_that_no_longer_resolves_is_no_network_and_no_bug(home: Home) -> None:
    settings = LabSettings(venue=VenueSettings(base_url="http://exchange.invalid"))
    data = make_market_data(settings, NOTHING, Clock(), home)
    try:
        with pytest.raises(NetworkDownError, match=r"exchange\.invalid.*check the network"):
            await data.time_ms()
    finally:
        await data.close()


def rows_of_the_run_book() -> list[list[str]]:
    book = (ROOT / "docs" / "run-book.md").read_text(encoding="utf-8")
    table = book.split("## Breakdowns, and their tests")[1]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[1:]]


def test_every_breakdown_of_the_run_book_names_tests_that_exist() -> None:
    rows = rows_of_the_run_book()
    assert len(rows) == 9, "one for each breakdown"
    for what, *_, tests in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", tests)
        assert named, what
        for file, name in named:
            assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{name}"


def test_every_word_that_the_run_book_greps_for_is_one_of_the_program() -> None:
    book = (ROOT / "docs" / "run-book.md").read_text(encoding="utf-8")
    sources = "".join(
        path.read_text() for floor in ("ops", "src/trading", "ai_brain") for path in (ROOT / floor).rglob("*.py")
    )
    sources += (ROOT / "monitor_bot.sh").read_text()
    words = re.findall(r"grep (?:-\w+ )*'?([\w.]+)'? logs/", book)
    assert len(words) >= 8
    for word in words:
        assert f'"{word}"' in sources or word in (ROOT / "monitor_bot.sh").read_text(), word
