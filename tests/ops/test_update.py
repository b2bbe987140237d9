"""`deploy/update.sh`: a newer lab that lives, or the old one again, whatever happens in between."""

from __future__ import annotations

import fcntl
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ops.installed import GUARDIAN, SERVICE, Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.end()


def test_an_update_backs_up_asks_the_doctor_and_waits_until_both_live(server: Server) -> None:
    server.release("2")
    done = server.update()
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"healthy: {GUARDIAN} {SERVICE}" in done.stdout
    assert server.restarted() == [GUARDIAN, SERVICE], "one of the two always watches"
    assert (server.version, server.packages) == ("v2", "packages-2")
    assert (server.home / "backups" / "lab-1.tar.gz").exists(), "by the old program, before anything changed"
    assert "updated from" in server.log
    assert not [*server.prefix.glob(".update*"), *server.prefix.glob(".venv.before")]
    assert "already at" in server.update().stdout


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda server: server.release("2", doctor="exit 1"), "the doctor says no"),
        (lambda server: server.release("2") or (server.prefix / ".git/index.lock").touch(), "git could not bring it"),
        (lambda server: server.release("2", quality="SILENT"), f"no sign of life within 2 s: {SERVICE}\n"),
        (lambda server: server.release("2", quality=f"DIES {SERVICE}"), f"no sign of life within 2 s: {SERVICE}\n"),
        (lambda server: server.release("2", quality=f"DIES {GUARDIAN}"), f"no sign of life within 2 s: {GUARDIAN}\n"),
    ],
    ids=[
        "the doctor says no",
        "git is locked",
        "the last heartbeat is the old one's",
        "the service dies",
        "the guardian dies",
    ],
)
def test_what_does_not_work_is_rolled_back_with_its_packages(
    server: Server, broken: Callable[[Server], None], said: str
) -> None:
    broken(server)
    done = server.update()
    assert done.returncode == 1
    assert said in done.stdout + done.stderr
    assert ("see: journalctl -u" in done.stdout) == ("sign of life" in said), "where the reason stands"
    why = "what was started does not live" if "sign of life" in said else said
    assert f"({why}); nothing else was changed" in done.stderr
    assert f"({why})" in server.log, "who looks the next morning finds the reason"
    assert "which gives no sign of life either" not in done.stderr
    assert (server.version, server.packages) == ("v1", "packages-1")
    for unit in (SERVICE, GUARDIAN):
        assert (server.folder / "runs" / unit).read_text() == "active\n"


def test_an_old_version_that_does_not_live_either_is_told(server: Server) -> None:
    server.release("2", quality=f"DIES {SERVICE}")
    subprocess.run(["git", "-C", server.prefix, "pull", "-q"], check=True)
    server.release("3", quality="SILENT")
    done = server.update()
    assert done.returncode == 1
    assert "which gives no sign of life either" in done.stderr
    assert server.version == "v2"


def test_a_roll_back_that_cannot_be_done_is_told_and_the_next_call_does_it(server: Server) -> None:
    server.release("2", doctor='mkdir "$here/.git/index.lock"; exit 1')
    done = server.update()
    assert done.returncode == 1
    assert "NOT rolled back to" in done.stderr
    assert "(the doctor says no), see above: make room" in server.log
    (server.prefix / ".git" / "index.lock").rmdir()
    assert "rolled back to" in server.update().stderr
    assert (server.version, server.packages) == ("v1", "packages-1")


@pytest.mark.parametrize("stop", ["state/TRADING_STOPPED.json", "state/KILL_SWITCH", ".kill"])
def test_an_update_undoes_no_stop_and_the_guardian_goes_on_with_the_new_program(server: Server, stop: str) -> None:
    (server.home / stop).write_text("{}")
    server.release("2")
    done = server.update()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not started: not started:" not in done.stdout
    assert "a stop is in force and stays so" in done.stdout
    assert server.version == "v2"
    assert server.restarted() == [GUARDIAN], "which no stop holds"
    assert (server.home / stop).exists()


def test_a_watchman_who_cannot_be_asked_starts_no_service(server: Server) -> None:
    server.release("2")
    (server.upstream / "monitor_bot.sh").write_text("#!/bin/bash\nexit 126\n")
    server.git("commit", "-q", "-a", "-m", "3")
    assert server.update().returncode == 0
    assert server.restarted() == [GUARDIAN]


def test_what_did_not_run_is_not_started(server: Server) -> None:
    for unit in (SERVICE, GUARDIAN):
        server.is_now(unit, "inactive")
    server.release("2")
    assert "not started: it did not run before" in server.update().stdout
    assert server.restarted() == []


def test_what_systemd_is_starting_runs_and_is_started_anew(server: Server) -> None:
    server.is_now(SERVICE, "activating")
    server.release("2")
    done = server.update()
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.restarted() == [GUARDIAN, SERVICE]


def test_a_lab_that_systemd_did_not_start_stands_in_the_way(server: Server) -> None:
    server.is_now(SERVICE, "inactive")
    server.release("2")
    with (
        (server.home / "state" / "lab.lock").open("w") as lock,
        subprocess.Popen(["flock", "--no-fork", lock.name, "sleep", "60"]) as somebody,
    ):
        lock.write(str(somebody.pid))
        lock.flush()
        refused = server.update()
        somebody.terminate()
    assert refused.returncode == 2
    assert f"process {somebody.pid} holds" in refused.stderr
    assert server.version == "v1"


def test_without_a_systemd_the_running_lab_is_ended_and_started_anew(server: Server) -> None:
    server.configure(systemd_there=server.folder / "nowhere")
    server.watchman()
    until = time.monotonic() + 20
    while not (server.home / "state" / "heartbeat.json").exists():
        assert time.monotonic() < until, "the watchman started nothing"
        time.sleep(0.05)
    old = (server.home / "state" / "lab.lock").read_text()
    # who asks for the lock holds it so long: one that starts meanwhile must not be refused it
    slowly = f'[ "${{@: -1}}" != true ] || set -- "${{@:1:$#-1}}" sleep 1\nexec {shutil.which("flock")} "$@"\n'
    server.put("bin/flock", f"#!/bin/bash\n{slowly}")
    server.release("2")
    done = server.update()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (server.home / "state" / "heartbeat.json").read_text() == "2\n"
    assert (server.home / "state" / "lab.lock").read_text() != old
    assert not Path(f"/proc/{old.strip()}/exe").exists(), "a zombie at most"
    server.release("3")
    assert server.update().returncode == 0, "the lab that was started does not keep this script's lock"


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_an_update_that_is_interrupted_rolls_back(server: Server, how: signal.Signals) -> None:
    server.release("2", packages_s=2)
    server.cut_off(how)
    assert (server.version, server.packages) == ("v1", "packages-1")
    assert server.restarted() == [], "nothing was started anew, so nothing is again"
    assert "(it was cut off)" in server.log
    assert server.update().returncode == 0
    assert (server.version, server.packages) == ("v2", "packages-2")


def test_an_update_that_lost_its_power_is_rolled_back_by_the_next_call(server: Server) -> None:
    server.release("2", packages_s=2)
    server.cut_off(signal.SIGKILL)
    (server.prefix / ".git" / "index.lock").touch()
    (server.prefix / "monitor_bot.sh").write_text("half a file")
    assert "was cut off" in server.update("--dry-run").stderr
    assert server.version == "v2"
    done = server.update()
    assert done.returncode == 1
    assert "rolled back to" in done.stderr
    assert (server.version, server.packages) == ("v1", "packages-1")
    assert server.restarted() == [GUARDIAN, SERVICE], "a start since then may have been of half a program"
    assert server.update().returncode == 0
    assert (server.version, server.packages) == ("v2", "packages-2")


def test_two_updates_at_once_do_not_meet(server: Server) -> None:
    server.release("2")
    (server.folder / "log").mkdir()
    with (server.folder / "log" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = server.update()
    assert refused.returncode == 2
    assert "another install.sh or update.sh works on" in refused.stderr
    assert server.version == "v1"


@pytest.mark.parametrize("doctor", ["true", "exit 1"], ids=["updated", "rolled back"])
def test_under_a_narrow_umask_the_labs_user_can_still_read_the_program(server: Server, doctor: str) -> None:
    server.release("2", doctor=doctor)
    server.update(umask=0o077)
    for name in ("lab", "monitor_bot.sh", ".venv/packages"):
        assert (server.prefix / name).stat().st_mode & 0o044 == 0o044, name
    assert (server.prefix / "lab").stat().st_mode & 0o055 == 0o055


def test_units_and_cron_line_come_with_the_version_and_go_back_with_it(server: Server) -> None:
    outside = server.folder / "outside" / "etc"
    files = (outside / "systemd" / "system" / "ai-trading-lab.service", outside / "cron.d" / "ai-trading-lab")
    server.release("2", deploy=True)
    assert server.update().returncode == 0
    for file in files:
        assert file.read_text().startswith("# of version 2\n")
        assert str(server.prefix) in file.read_text()
    server.release("3", deploy=True, doctor="exit 1")
    assert server.update().returncode == 1
    for file in files:
        assert file.read_text().startswith("# of version 2\n")


def test_the_branch_is_the_one_that_upstream_calls_its_own(server: Server) -> None:
    server.git("checkout", "-q", "-b", "broken-experiment")
    server.release("2-experiment")
    server.git("checkout", "-q", "main")
    server.release("2")
    for words in ("checkout -q --detach v1", "branch -q -D main", "remote set-head origin --delete"):
        # as install.sh leaves it where the source was cloned at a tag
        subprocess.run(["git", "-C", server.prefix, *words.split()], check=True)
    assert server.update().returncode == 0
    assert server.version == "v2"


def test_an_older_tag_can_be_asked_for_and_an_unknown_one_is_refused(server: Server) -> None:
    server.release("2")
    assert server.update().returncode == 0
    assert server.update("v1").returncode == 0
    assert server.version == "v1"
    server.git("tag", "--force", "v2", "v1")
    assert "already at" in server.update("v2").stdout, "a tag that moved upstream has moved"
    refused = server.update("v9")
    assert refused.returncode == 2
    assert "v9: no such tag, branch or commit upstream" in refused.stderr
    assert server.version == "v1"


def test_a_program_with_changes_of_its_own_is_not_touched(server: Server) -> None:
    server.release("2")
    (server.prefix / "lab").write_text("mine")
    refused = server.update()
    assert refused.returncode == 2
    assert "has changes of its own" in refused.stderr
    (server.prefix / ".git" / "HEAD").write_text("torn")
    refused = server.update()
    assert refused.returncode == 2
    assert "git does not take" in refused.stderr


def test_a_dry_run_only_says_what_would_be_done(server: Server) -> None:
    server.release("2")
    assert re.search(r"from \w+ to \w+: 1 commits", server.update("--dry-run").stdout)
    assert server.version == "v1"
    assert not (server.home / "backups").exists()
