"""The watchman under cron: restarts what died or froze, appends to its log, and lets a stopped lab lie."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from ops.environment import read_environment
from trading.domain.decisions import Reason
from trading.journal.audit import AuditLine, AuditLog, CycleStatus
from trading.storage.home import Home

MONITOR = Path(__file__).resolve().parents[2] / "monitor_bot.sh"
SHELLCHECK = Path(sys.executable).with_name("shellcheck")


def sleeper(lock: Path, command: str) -> str:
    """A script that becomes a process named like ours, which holds its lock and only sleeps."""
    return (
        f'#!/bin/bash\nexec 8>>"{lock}"\nflock -n 8 || exit 2\necho $$ >"{lock}"\n'
        f'exec -a "python -m ops.cli {command}" sleep 60\n'
    )


class Watch:
    """A home watched by the script, whose 'service' is a process named like ours that only sleeps."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.monkeypatch = monkeypatch
        self.state = home / "state"
        self.state.mkdir()
        self.service = home / "ops-service.sh"
        self.service.write_text(sleeper(self.state / "lab.lock", "run"))
        self.service.chmod(0o755)
        self.started: list[int] = []

    def run(self, **environment: str) -> str:
        settings = {"LAB_HOME": str(self.home), "MONITOR_START_COMMAND": str(self.service), **environment}
        subprocess.run(["bash", MONITOR], env={"PATH": os.environ["PATH"], **settings}, check=True, timeout=30)
        return self.log()

    def log(self) -> str:
        return (self.home / "logs" / "monitor.log").read_text()

    def wait_for_service(self, *, other_than: int = 0) -> int:
        lock = self.state / "lab.lock"
        for _ in range(200):
            if lock.exists() and lock.read_text().strip():
                pid = int(lock.read_text())
                cmdline = Path(f"/proc/{pid}/cmdline")
                if pid != other_than and cmdline.exists() and b"ops.cli run" in cmdline.read_bytes():
                    self.started.append(pid)
                    return pid
            subprocess.run(["sleep", "0.02"], check=True)
        raise AssertionError("the service was not started")

    def beat(self, *, age_s: int = 0) -> None:
        (self.state / "heartbeat.json").write_text("{}")
        self.renew("heartbeat.json", age_s=age_s)

    def renew(self, name: str, *, age_s: int) -> None:
        """As if a state file had been written so long ago; in the future, for a clock that was set back."""
        then_s = time.time() - age_s
        os.utime(self.state / name, (then_s, then_s))

    def grow_old(self, by_s: int) -> None:
        """As if its processes had begun so much earlier: a `ps` before the real one that adds to their age."""
        folder = self.home / "bin"
        folder.mkdir()
        older = folder / "ps"
        older.write_text(f'#!/bin/bash\nage="$({shutil.which("ps")} "$@")" && echo $((age + {by_s}))\n')
        older.chmod(0o755)
        self.monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def fall_silent(self) -> None:
        """A heartbeat after its start, and then none for two seconds."""
        self.grow_old(10)
        self.beat(age_s=2)


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    watched = Watch(tmp_path, monkeypatch)
    yield watched
    for pid in watched.started:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, 9)


class Telegram:
    """A server that keeps what it is sent and answers as it is told."""

    def __init__(self) -> None:
        received = self.received = list[tuple[str, dict[str, list[str]]]]()
        answers = self.answers = list[int]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                received.append((self.path, parse_qs(body)))
                self.send_response(answers.pop() if answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def telegram() -> Iterator[Telegram]:
    server = Telegram()
    yield server
    server.close()


TOKEN = "4711:made-up"


def test_a_dead_service_is_started(watch: Watch) -> None:
    assert "restart: no process" in watch.run()
    pid = watch.wait_for_service()
    watch.beat()
    assert f"ok: pid {pid}" in watch.run()


def test_a_checkout_whose_path_has_a_space_is_started_too(watch: Watch) -> None:
    checkout = watch.home / "my lab"
    checkout.mkdir()
    shutil.copy(MONITOR, checkout)
    watch.service.rename(checkout / "lab")
    environment = {"PATH": os.environ["PATH"], "LAB_HOME": str(watch.home)}
    subprocess.run(["bash", checkout / "monitor_bot.sh"], env=environment, check=True, timeout=30)
    watch.wait_for_service()


def test_on_a_server_it_starts_no_second_lab_in_the_programs_own_folder(watch: Watch) -> None:
    shutil.copy(MONITOR, watch.home / "monitor_bot.sh")
    (watch.home / ".home").write_text("/var/lib/ai-trading-lab\n")
    environment = {"PATH": os.environ["PATH"], "MONITOR_START_COMMAND": str(watch.service)}
    command = ["bash", watch.home / "monitor_bot.sh"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "is in /var/lib/ai-trading-lab" in done.stderr
    assert not (watch.home / "logs").exists()


def test_a_service_with_an_old_heartbeat_is_restarted(watch: Watch) -> None:
    watch.run()
    old_pid = watch.wait_for_service()
    watch.fall_silent()
    assert re.search(r"restart: heartbeat [23] s old, limit 1 s", watch.run(MONITOR_MAX_HEARTBEAT_AGE_S="1"))
    new_pid = watch.wait_for_service()
    assert new_pid != old_pid or not Path(f"/proc/{old_pid}").exists()


def test_a_lab_that_has_not_beaten_since_its_start_has_half_an_hour_for_it(watch: Watch) -> None:
    watch.run()
    pid = watch.wait_for_service()
    watch.beat(age_s=900)
    subprocess.run(["sleep", "2.1"], check=True)  # ps counts whole seconds of age
    assert f"ok: pid {pid}" in watch.run(MONITOR_MAX_HEARTBEAT_AGE_S="1")
    log = watch.run(MONITOR_MAX_START_S="1")
    assert re.search(r"restart: no heartbeat since its start \d s ago, limit 1 s", log)


@pytest.mark.parametrize("by_s", [3600, -3600])
def test_no_heartbeat_is_judged_in_the_round_after_the_clock_was_set(watch: Watch, by_s: int) -> None:
    watch.run()
    pid = watch.wait_for_service()
    watch.fall_silent()
    noted = watch.state / "monitor_clock"
    noted.write_text(str(int(noted.read_text().split()[0]) - by_s))
    log = watch.run(MONITOR_MAX_HEARTBEAT_AGE_S="1")
    told = re.search(r"clock: set by (-?\d+) s", log)
    assert told is not None
    assert abs(int(told[1]) - by_s) < 30
    assert f"ok: pid {pid}" in log
    assert "restart: heartbeat" in watch.run(MONITOR_MAX_HEARTBEAT_AGE_S="1"), "frozen it is ended one round later"


def test_no_heartbeat_is_judged_in_the_round_after_the_machine_slept(watch: Watch) -> None:
    def rest() -> str:
        hours_ago_s = time.time() - 7200
        os.utime(watch.state / "monitor_clock", (hours_ago_s, hours_ago_s))
        return watch.run(MONITOR_MAX_HEARTBEAT_AGE_S="1")

    watch.run()
    pid = watch.wait_for_service()
    watch.fall_silent()
    log = rest()
    assert re.search(r"clock: no round for 72\d\d s: the machine slept, or cron rested: no heartbeat is judged", log)
    assert f"ok: pid {pid}" in log
    assert "restart: heartbeat" in rest(), "frozen it is ended one round later, also where cron comes so seldom"


def test_a_heartbeat_from_the_future_is_no_young_one(watch: Watch) -> None:
    watch.run()
    watch.wait_for_service()
    watch.beat(age_s=-86400)
    watch.grow_old(2)
    log = watch.run(MONITOR_MAX_START_S="1")
    assert "restart: no heartbeat since its start" in log
    assert "heartbeat -" not in log


@pytest.mark.parametrize("stop", ["state/TRADING_STOPPED.json", "state/KILL_SWITCH", ".kill"])
def test_a_stopped_lab_stays_stopped(watch: Watch, stop: str) -> None:
    (watch.home / stop).write_text("")
    log = watch.run()
    assert "stopped, not restarting" in log
    assert "restart:" not in log.replace("not restarting", "")
    assert not (watch.state / "lab.lock").exists()


@pytest.mark.parametrize("line", ["KILL=1\n", "export KILL=1 # until Monday\r\n"])
def test_kill_in_the_env_file_is_a_stop_too(watch: Watch, line: str) -> None:
    (watch.home / ".env").write_text(line)
    assert "KILL=1" in watch.run()
    assert not (watch.state / "lab.lock").exists()


ENV_FILES = {
    "plain": "KILL=1\n",
    "off": "KILL=0\n",
    "empty": "KILL=\n",
    "export": "export KILL=1\n",
    "export with tabs": "\texport\tKILL = 1\n",
    "a comment behind": "KILL=0 # off\n",
    "a comment behind quotes": "KILL='1' # on\n",
    "a number sign that is no comment": "TELEGRAM_CHAT_ID=42\nTELEGRAM_TOKEN=1:a#b\n",
    "in quotes a number sign is no comment": 'TELEGRAM_CHAT_ID=42\nTELEGRAM_TOKEN="1:a # b"\n',
    "line ends of Windows": "TELEGRAM_CHAT_ID=42\r\nTELEGRAM_TOKEN=1:ab\r\nKILL=1\r\n",
    "Windows and quotes": "TELEGRAM_CHAT_ID='42'\r\nTELEGRAM_TOKEN=\"1:ab\"\r\n",
    "spaces at the end": "TELEGRAM_CHAT_ID=42  \nTELEGRAM_TOKEN= 1:ab\t\n",
    "the last one counts": "KILL=1\nKILL=0\n",
    "the last one counts, empty": "KILL=1\nKILL=\n",
    "a line that is none is left out": "KILL=1\nKILL='0' and more\n",
    "commented out": "#KILL=1\n# export KILL=1\n",
    "keys": "export BINANCE_API_KEY=made-up # mine\nexport BINANCE_API_SECRET='made up'\n",
    "quotes of the name": "'KILL'=1\n",
}


@pytest.mark.parametrize("content", ENV_FILES.values(), ids=ENV_FILES)
def test_the_watchman_reads_the_env_file_as_the_lab_does(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path).make()
    home.env_file.write_bytes(content.encode())
    home.env_file.chmod(0o600)
    (function,) = re.findall(r"^setting\(\) .*?^}$", MONITOR.read_text(), re.MULTILINE | re.DOTALL)

    def setting(name: str) -> str:
        asked = f'home="$1"\n{function}\nsetting {name}'
        words = ["bash", "-c", asked, "bash", str(tmp_path)]
        environment = {"PATH": os.environ["PATH"]}
        return subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout

    read = read_environment(home, process={})
    assert (setting("KILL") not in ("", "0")) == read.kill
    assert setting("TELEGRAM_CHAT_ID") == (read.telegram_chat_id or "")
    for name, secret in (("TELEGRAM_TOKEN", read.telegram_token), ("BINANCE_API_KEY", read.binance_api_key)):
        assert setting(name) == (secret.get_secret_value() if secret is not None else "")


def test_three_restarts_within_an_hour_are_an_alert(watch: Watch) -> None:
    for _ in range(3):
        log = watch.run()
        os.kill(watch.wait_for_service(), 9)
        (watch.state / "lab.lock").write_text("")
    assert log.count("restart: no process") == 3
    assert "alert: AI Trading Lab: 3 restarts within an hour" in log


def test_a_service_that_never_comes_up_is_told_after_longer_and_longer(watch: Watch) -> None:
    told_at_min = []
    for minute in range(0, 165, 5):
        before = watch.log().count("alert: ") if minute else 0
        if watch.run(MONITOR_START_COMMAND="false").count("alert: ") > before:
            told_at_min.append(minute)
        for name in ("monitor_many_restarts", "monitor_clock"):
            if (watch.state / name).exists():
                watch.renew(name, age_s=int(time.time() - (watch.state / name).stat().st_mtime) + 300)
        restarts = watch.state / "monitor_restarts"
        restarts.write_text("".join(f"{int(at_s) - 300}\n" for at_s in restarts.read_text().split()))
    assert told_at_min == [10, 20, 40, 80, 160]
    (watch.state / "monitor_restarts").write_text("")
    watch.run(MONITOR_START_COMMAND="false")
    assert not (watch.state / "monitor_many_restarts").exists(), "once it ran for an hour, three are told at once"


@pytest.mark.parametrize("note", ["\0\0\0\0", "08", "words"])
def test_a_note_that_a_power_cut_tore_neither_silences_the_alert_nor_repeats_it(watch: Watch, note: str) -> None:
    (watch.state / "monitor_restarts").write_text(f"{int(time.time())}\n" * 3)
    (watch.state / "monitor_many_restarts").write_text(note)
    watch.renew("monitor_many_restarts", age_s=7200)
    for _ in range(2):
        log = watch.run(MONITOR_START_COMMAND="false")
    assert log.count("alert: ") == 1


def test_what_was_told_in_a_future_that_never_was_is_told_again(watch: Watch) -> None:
    (watch.state / "KILL_SWITCH").write_text(KEEPING)
    (watch.state / "monitor_disk").touch()
    watch.renew("monitor_disk", age_s=-30 * 86400)
    for _ in range(2):
        log = watch.run(MONITOR_MIN_DISK_MB="999999999")
    assert log.count("MB of disk left") == 1


def test_a_log_too_large_is_rotated_and_nothing_is_lost(watch: Watch) -> None:
    logs = watch.home / "logs"
    logs.mkdir()
    (logs / "ai_lab.log").write_bytes(b"x" * 2_000_000)
    (watch.state / "KILL_SWITCH").write_text("")
    watch.run(MONITOR_MAX_LOG_MB="1")
    assert (logs / "ai_lab.log").read_bytes() == b""
    assert (logs / "ai_lab.log.1").stat().st_size == 2_000_000


def test_a_log_that_has_no_room_for_its_copy_costs_no_older_one(watch: Watch) -> None:
    logs = watch.home / "logs"
    logs.mkdir()
    for name, content in (("service.out", b"x" * 2_000_000), ("service.out.1", b"older"), ("service.out.2", b"oldest")):
        (logs / name).write_bytes(content)
    (watch.state / "KILL_SWITCH").write_text("")
    environment = {"PATH": os.environ["PATH"], "LAB_HOME": str(watch.home), "MONITOR_MAX_LOG_MB": "2"}
    for _ in range(3):  # no file may grow beyond half a megabyte
        subprocess.run(["bash", "-c", f"ulimit -f 500; exec {MONITOR}"], env=environment, check=True, timeout=30)
    assert "not rotated: service.out: no room" in watch.log()
    found = {path.name: path.stat().st_size for path in logs.glob("service.out*")}
    assert found == {"service.out": 2_000_000, "service.out.1": 5, "service.out.2": 6}


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
@pytest.mark.parametrize("harm", ["read-only", "full"])
def test_a_state_that_cannot_be_written_is_told_without_a_disk_and_nothing_is_ended(
    watch: Watch, telegram: Telegram, harm: str
) -> None:
    (watch.home / ".env").write_text(f"TELEGRAM_TOKEN={TOKEN}\nTELEGRAM_CHAT_ID=42\n")
    subprocess.run(["setsid", "--fork", watch.service], check=True)
    pid = watch.wait_for_service()
    watch.fall_silent()
    (watch.home / "logs" / "monitor.log").mkdir(parents=True)  # a folder takes no line, whoever writes it
    if harm == "read-only":
        (watch.home / "state" / "monitor.lock").mkdir(parents=True)
    else:
        (watch.home / "state" / "monitor.lock").symlink_to("/dev/full")
    (watch.home / "run").mkdir()
    settings = {"LAB_HOME": str(watch.home), "XDG_RUNTIME_DIR": str(watch.home / "run"), "PATH": os.environ["PATH"]}
    settings |= {"TELEGRAM_BASE_URL": telegram.url, "MONITOR_MAX_HEARTBEAT_AGE_S": "1", "MONITOR_MIN_DISK_MB": "0"}
    for _ in range(2):
        done = subprocess.run(["bash", MONITOR], env=settings, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0
    (told,) = [fields["text"][0] for _, fields in telegram.received]
    assert told.startswith(f"🚨 AI Trading Lab: {watch.state} cannot be written to: nothing is opened")
    assert "cannot be written" in done.stderr
    assert b"ops.cli run" in Path(f"/proc/{pid}/cmdline").read_bytes(), "it goes on once the disk takes something"


def test_a_round_gives_way_to_one_that_still_works(watch: Watch) -> None:
    with (watch.state / "monitor.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert watch.run() == ""
    assert "restart: no process" in watch.run()


def test_its_own_log_is_appended_to(watch: Watch) -> None:
    (watch.state / "KILL_SWITCH").write_text(json.dumps({}))
    watch.run()
    assert watch.run().count("stopped, not restarting") == 2


NOBODY_CLOSES = "alert: AI Trading Lab: stop in force and the lab does not run: make sure that everything is flat"
KEEPING = '{"schema": 1, "keep_positions": true}'
CLOSING = '{"schema": 1, "keep_positions": false}'


@pytest.mark.parametrize(
    ("stop", "content"),
    [("state/KILL_SWITCH", ""), (".kill", ""), (".env", "KILL=1\n"), ("state/TRADING_STOPPED.json", CLOSING)],
)
def test_a_stop_that_wants_flat_without_a_lab_to_close_is_an_alert_once_an_hour(
    watch: Watch, stop: str, content: str
) -> None:
    (watch.home / stop).write_text(content)
    assert watch.run().count(NOBODY_CLOSES) == 1
    assert watch.run().count(NOBODY_CLOSES) == 1
    subprocess.run(["touch", "-d", "61 minutes ago", watch.state / "monitor_not_flat"], check=True)
    assert watch.run().count(NOBODY_CLOSES) == 2


@pytest.mark.parametrize("content", [KEEPING, "{torn", ""])
def test_a_stop_that_keeps_positions_is_no_alert(watch: Watch, content: str) -> None:
    (watch.state / "TRADING_STOPPED.json").write_text(content)
    assert "alert:" not in watch.run()


def test_a_kill_switch_wins_over_a_stop_that_keeps_positions(watch: Watch) -> None:
    (watch.state / "TRADING_STOPPED.json").write_text(KEEPING)
    (watch.state / "KILL_SWITCH").symlink_to("nowhere")
    assert NOBODY_CLOSES in watch.run()


def test_a_stopped_lab_that_lives_closes_by_itself_and_a_frozen_one_is_an_alert(watch: Watch) -> None:
    watch.run()
    pid = watch.wait_for_service()
    watch.beat()
    (watch.state / "KILL_SWITCH").write_text("")
    watch.grow_old(2)
    assert "alert:" not in watch.run(MONITOR_MAX_HEARTBEAT_AGE_S="60")
    watch.beat(age_s=900)
    assert NOBODY_CLOSES in watch.run(MONITOR_MAX_HEARTBEAT_AGE_S="1")
    assert Path(f"/proc/{pid}").exists()


def spying_curl(watch: Watch) -> str:
    """A PATH whose curl writes its command line down before it works."""
    curl = shutil.which("curl")
    folder = watch.home / "bin"
    folder.mkdir()
    (folder / "curl").write_text(f'#!/bin/bash\nprintf "%s\\n" "$*" >>"{watch.home}/curl_words"\nexec {curl} "$@"\n')
    (folder / "curl").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_the_alert_reaches_the_chat_and_the_token_shows_nowhere(watch: Watch, telegram: Telegram) -> None:
    (watch.home / ".env").write_text(f"KILL=1\r\nexport TELEGRAM_TOKEN='{TOKEN}' # bot\r\nTELEGRAM_CHAT_ID=42 # me\r\n")
    telegram.answers.append(401)
    words = {"TELEGRAM_BASE_URL": telegram.url, "PATH": spying_curl(watch)}
    assert "alert not delivered" in watch.run(**words)
    log = watch.run(**words)  # not delivered: told again
    assert watch.run(**words).count(NOBODY_CLOSES) == 2
    assert [path for path, _ in telegram.received] == [f"/bot{TOKEN}/sendMessage"] * 2
    fields = telegram.received[-1][1]
    assert fields["chat_id"] == ["42"]
    assert fields["text"][0].startswith("🚨 AI Trading Lab: stop in force")
    assert "python stop_trading.py" in fields["text"][0]
    command_lines = (watch.home / "curl_words").read_text()
    assert "sendMessage" not in command_lines
    assert "chat_id=42" in command_lines
    assert TOKEN not in command_lines
    assert TOKEN not in log


@pytest.mark.skipif(not SHELLCHECK.exists(), reason="there is no shellcheck for this kind of machine")
def test_shell_scripts_are_clean() -> None:
    root = MONITOR.parent
    scripts = [
        MONITOR,
        root / "lab",
        root / ".ci" / "run",
        *sorted(root.glob("deploy/*.sh")),
        root / "deploy" / "ai-lab",
    ]
    subprocess.run([SHELLCHECK, "-x", "-P", "SCRIPTDIR", *scripts], check=True)


@pytest.mark.parametrize("stop", ["state/TRADING_STOPPED.json", "state/KILL_SWITCH", ".kill"])
def test_a_unit_may_not_start_while_a_stop_is_in_force(watch: Watch, stop: str) -> None:
    settings = {"PATH": os.environ["PATH"], "LAB_HOME": str(watch.home)}
    asked = ["bash", MONITOR, "--may-start"]
    assert subprocess.run(asked, env=settings).returncode == 0
    (watch.home / stop).write_text("")
    done = subprocess.run(asked, env=settings, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.startswith("not started: ")
    assert not (watch.home / "logs" / "monitor.log").exists(), "a question is no round"


def test_a_container_waits_while_a_stop_is_in_force_and_then_becomes_the_lab(watch: Watch) -> None:
    settings = {"PATH": os.environ["PATH"], "LAB_HOME": str(watch.home)}
    words = ["bash", MONITOR, "--when-allowed", "echo", "the lab runs"]
    assert subprocess.run(words, env=settings, capture_output=True, text=True).stdout == "the lab runs\n"
    (watch.state / "TRADING_STOPPED.json").write_text("")
    with subprocess.Popen(words, env=settings, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline().startswith("waiting: state/TRADING_STOPPED.json")
        waiting.terminate()
        assert waiting.wait(5) != 0
        assert waiting.stdout.read() == ""


def test_a_guardians_container_waits_while_there_are_no_keys_and_no_stop_holds_it(watch: Watch) -> None:
    settings = {"PATH": os.environ["PATH"], "LAB_HOME": str(watch.home)}
    words = ["bash", MONITOR, "--when-keyed", "echo", "the guardian runs"]
    with subprocess.Popen(words, env=settings, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "waiting: there are no trading keys, so nothing to guard\n"
        waiting.terminate()
        assert waiting.wait(5) != 0
    (watch.home / ".env").write_text("BINANCE_API_KEY=made-up\n")
    (watch.state / "KILL_SWITCH").write_text("")
    assert subprocess.run(words, env=settings, capture_output=True, text=True).stdout == "the guardian runs\n"


def test_a_watchmans_container_makes_its_rounds_and_ends_what_is_frozen(watch: Watch) -> None:
    subprocess.run(["setsid", "--fork", watch.service], check=True)
    pid = watch.wait_for_service()
    watch.fall_silent()
    settings = {"PATH": os.environ["PATH"], "LAB_HOME": str(watch.home)}
    settings |= {"MONITOR_SUPERVISOR": "containers", "MONITOR_MAX_HEARTBEAT_AGE_S": "1"}
    with subprocess.Popen(["bash", MONITOR, "--every", "0.1"], env=settings) as rounds:
        for _ in range(600):
            if (watch.home / "logs" / "monitor.log").exists() and "up -d service" in watch.log():
                break
            subprocess.run(["sleep", "0.05"], check=True)
        rounds.terminate()
    assert not Path(f"/proc/{pid}").exists()
    assert "restart: heartbeat" in watch.log()
    assert "not there: no process; containers starts it unless told not to" in watch.log()
    assert "run: docker compose -f deploy/compose.yaml up -d service" in watch.log()


def test_a_guardian_may_start_only_where_there_are_keys(watch: Watch) -> None:
    settings = {"PATH": os.environ["PATH"], "LAB_HOME": str(watch.home)}
    asked = ["bash", MONITOR, "--may-guard"]
    assert subprocess.run(asked, env=settings).returncode == 1
    (watch.home / ".env").write_text("export BINANCE_API_KEY=made-up # mine\n")
    (watch.state / "KILL_SWITCH").write_text("")
    assert subprocess.run(asked, env=settings).returncode == 0, "it only ever closes, so a stop does not hold it"


def test_where_systemd_starts_it_the_watchman_ends_what_is_frozen_and_tells_of_what_is_not_there(watch: Watch) -> None:
    assert "not there: no process; systemd starts it unless told not to" in watch.run(MONITOR_SUPERVISOR="systemd")
    assert not (watch.state / "lab.lock").exists(), "nothing was started"
    assert (
        watch.run(MONITOR_SUPERVISOR="systemd").count("alert: AI Trading Lab: no process; unless you stopped it") == 1
    )
    watch.run()
    pid = watch.wait_for_service()
    watch.fall_silent()
    assert "restart: heartbeat" in watch.run(MONITOR_SUPERVISOR="systemd", MONITOR_MAX_HEARTBEAT_AGE_S="1")
    assert not Path(f"/proc/{pid}").exists()


def systemctl(folder: Path, script: str) -> dict[str, str]:
    """The environment of a watchman whose systemd answers so."""
    fake = folder / "bin" / "systemctl"
    fake.parent.mkdir(exist_ok=True)
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    return {"MONITOR_SUPERVISOR": "systemd", "PATH": f"{fake.parent}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("unit", "what", "other"),
    [
        ("ai-trading-lab", "no process", "no guardian watches"),
        ("ai-trading-lab-guardian", "no guardian watches", "no process"),
    ],
)
def test_what_systemd_is_starting_just_now_is_no_alert(
    watch: Watch, tmp_path: Path, unit: str, what: str, other: str
) -> None:
    (watch.home / ".env").write_text("BINANCE_API_KEY=made-up\n")
    log = watch.run(**systemctl(tmp_path, f'[ "$*" = "show -p ActiveState --value {unit}" ] && echo activating'))
    assert log.count(f"not there: {what}; systemd is starting it") == 1
    assert f"alert: AI Trading Lab: {what}" not in log
    assert f"alert: AI Trading Lab: {other}; unless you stopped it, run: sudo systemctl start ai-trading-lab" in log


def test_a_guardian_that_systemd_starts_again_and_again_is_told_after_five_minutes(
    watch: Watch, tmp_path: Path
) -> None:
    (watch.home / ".env").write_text("BINANCE_API_KEY=made-up\n")
    told = systemctl(tmp_path, "echo activating")
    watch.run(**told)
    watch.renew("monitor_starting_guardian", age_s=360)
    assert "alert: AI Trading Lab: no guardian watches: systemd has been starting it for 5 min" in watch.run(**told)


COMES_TO_NOTHING = "alert: AI Trading Lab: no process: systemd has been starting it"


@pytest.mark.parametrize(("ran_before", "patient_min"), [(True, 15), (False, 30)], ids=["it ran before", "first start"])
def test_what_systemd_starts_again_and_again_is_told_once_an_hour(
    watch: Watch, tmp_path: Path, ran_before: bool, patient_min: int
) -> None:
    told = systemctl(tmp_path, "echo activating")
    if ran_before:
        watch.beat(age_s=3 * 86400)
    assert "alert" not in watch.run(**told)
    watch.renew("monitor_starting_service", age_s=patient_min * 60 - 60)
    assert "alert" not in watch.run(**told)
    watch.renew("monitor_starting_service", age_s=patient_min * 60 + 60)
    assert f"{COMES_TO_NOTHING} for {patient_min} min and more" in watch.run(**told)
    assert watch.run(**told).count(COMES_TO_NOTHING) == 1
    watch.renew("monitor_no_service", age_s=3660)
    subprocess.run(["setsid", "--fork", watch.service], check=True)
    pid = watch.wait_for_service()
    watch.run(**told)  # it lives just now, and gives no heartbeat
    os.kill(pid, 9)
    (watch.state / "lab.lock").write_text("")
    assert watch.run(**told).count(COMES_TO_NOTHING) == 2


def test_a_service_that_came_up_has_its_time_again_at_the_next_start(watch: Watch) -> None:
    (watch.state / "monitor_starting_service").touch()
    watch.run()
    watch.wait_for_service()
    watch.beat()
    assert (watch.state / "monitor_starting_service").exists()
    watch.run()
    assert not (watch.state / "monitor_starting_service").exists()


@pytest.mark.parametrize("automatic", [True, False], ids=["by systemd", "by hand"])
def test_what_systemd_starts_anew_between_two_rounds_is_counted_and_from_three_an_hour_an_alert(
    watch: Watch, tmp_path: Path, automatic: bool
) -> None:
    told = systemctl(tmp_path, f'[ "$*" = "show -p NRestarts --value ai-trading-lab" ] && echo {int(automatic)}')
    for number in range(4):
        subprocess.run(["setsid", "--fork", watch.service], check=True)
        pid = watch.wait_for_service()
        watch.beat()
        for _ in range(2):  # the same process twice is no restart
            log = watch.run(**told)
        assert log.count("restart: process") == number * automatic
        assert log.count("was ended and") == number * (not automatic)
        many = "alert: AI Trading Lab: 3 restarts within an hour, last because: process"
        assert log.count(many) == (number == 3 and automatic)
        os.kill(pid, 9)
        (watch.state / "lab.lock").unlink()


def test_a_guardian_is_missed_also_where_its_keys_are_sealed(watch: Watch, tmp_path: Path) -> None:
    subprocess.run(["setsid", "--fork", watch.service], check=True)
    watch.wait_for_service()
    watch.beat()
    assert "guardian" not in watch.run(MONITOR_SUPERVISOR="systemd")
    (watch.home / ".env").write_text("# Sealed by deploy/seal.sh: BINANCE_API_KEY BINANCE_API_SECRET\n")
    units = tmp_path / "units"
    told = {"MONITOR_SUPERVISOR": "systemd", "MONITOR_UNITS": str(units)}
    asked = ["bash", MONITOR, "--may-guard"]
    environment = {"PATH": os.environ["PATH"], "LAB_HOME": str(watch.home), "MONITOR_UNITS": str(units)}
    assert "guardian" not in watch.run(**told), "a backup of another machine's lab, which was sealed there"
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "sealed on another machine: write them into" in done.stderr + done.stdout) == (1, True)
    (units / "ai-trading-lab-guardian.service.d").mkdir(parents=True)
    (units / "ai-trading-lab-guardian.service.d" / "sealed.conf").write_text("")
    assert "no guardian watches" in watch.run(**told)
    assert subprocess.run(asked, env=environment, capture_output=True, check=False).returncode == 0


def test_little_disk_left_is_an_alert_and_not_one_every_five_minutes(watch: Watch) -> None:
    (watch.state / "KILL_SWITCH").write_text("")
    for _ in range(2):
        log = watch.run(MONITOR_MIN_DISK_MB="999999999")
    assert log.count("disk: ") == 2
    assert log.count("alert: AI Trading Lab: ") == 2, "one of the disk, one that nobody closes"
    assert "MB of disk left, limit 999999999 MB" in log


@pytest.fixture
def named_like_ours() -> Iterator[Callable[[str], int]]:
    """Starts a process that is named like one of ours and holds no lock; its number."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(command: str) -> int:
        processes.append(subprocess.Popen([f"python -m ops.cli {command}", "60"], executable="/bin/sleep"))
        return processes[-1].pid

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("command", ["run", "guardian"])
def test_another_process_that_got_the_number_of_a_dead_service_is_not_ended(
    watch: Watch, named_like_ours: Callable[[str], int], command: str
) -> None:
    stranger = named_like_ours(command)
    (watch.state / "lab.lock").write_text(str(stranger))
    watch.beat(age_s=3600)
    watch.grow_old(2)
    log = watch.run(MONITOR_MAX_HEARTBEAT_AGE_S="1")
    assert "restart: no process" in log
    assert Path(f"/proc/{stranger}/cmdline").read_bytes() != b"", "it lives"
    watch.wait_for_service(other_than=stranger)


def test_a_restore_that_holds_the_lock_is_neither_ended_nor_taken_for_a_dead_service(watch: Watch) -> None:
    watch.service.write_text(sleeper(watch.state / "lab.lock", "restore"))
    subprocess.run(["setsid", "--fork", watch.service], check=True)
    lock = watch.state / "lab.lock"
    for _ in range(200):
        if lock.exists() and lock.read_text().strip():
            break
        subprocess.run(["sleep", "0.02"], check=True)
    pid = int(lock.read_text())
    watch.started.append(pid)
    watch.beat(age_s=3600)
    watch.grow_old(2)
    log = watch.run(MONITOR_MAX_HEARTBEAT_AGE_S="1")
    assert f"not started: process {pid}, which is no service, holds state/lab.lock" in log
    assert "restart:" not in log
    assert "alert:" not in log
    assert b"ops.cli restore" in Path(f"/proc/{pid}/cmdline").read_bytes()
    subprocess.run(["touch", "-d", "61 minutes ago", lock], check=True)
    assert watch.run().count("alert: AI Trading Lab: no process, for an hour") == 1


def test_a_zombie_is_called_one(watch: Watch) -> None:
    child = subprocess.Popen(["true"])
    subprocess.run(["sleep", "0.2"], check=True)
    (watch.state / "lab.lock").write_text(str(child.pid))
    assert f"restart: process {child.pid} is a zombie" in watch.run()
    child.wait()
    watch.wait_for_service(other_than=child.pid)


def cycles_of_a_day(watch: Watch, *reasons: str, executed: bool = False) -> None:
    """An audit file of real lines, the newest now."""
    audit = AuditLog(watch.state / "audit.jsonl")
    now_ms = int(time.time() * 1000)
    for number, reason in enumerate(reasons):
        at_ms = now_ms - (len(reasons) - number) * 60_000
        audit.append(AuditLine(at_ms, "live", CycleStatus.NO_TRADE, Reason(reason), "abc"))
    if executed:
        audit.append(AuditLine(now_ms, "live", CycleStatus.EXECUTED, Reason.OK, "abc"))


def test_a_day_without_a_trade_is_told_once_with_the_reason(watch: Watch) -> None:
    watch.run()
    watch.wait_for_service()
    watch.beat()
    cycles_of_a_day(watch, "COST_ABOVE_EXPECTED", "QUOTE_STALE", "COST_ABOVE_EXPECTED")
    log = watch.run()
    assert "no trade in 24 h, most often because: COST_ABOVE_EXPECTED 2× of 3 cycles" in log
    assert "alert" not in log, "nobody armed it"
    assert watch.run().count("no trade in 24 h") == 1
    (watch.state / "monitor_no_trade").unlink()
    (watch.state / "live_armed.json").write_text("{}")
    assert "alert: AI Trading Lab: armed, and no trade in 24 h" in watch.run()


def test_a_day_with_a_trade_is_not_told(watch: Watch) -> None:
    watch.run()
    watch.wait_for_service()
    watch.beat()
    cycles_of_a_day(watch, "QUOTE_STALE", executed=True)
    assert "no trade" not in watch.run()


def test_a_stop_that_was_seen_through_is_no_alert(watch: Watch) -> None:
    (watch.state / "TRADING_STOPPED.json").write_text('{"schema": 1, "keep_positions": false}')
    assert "make sure that everything is flat" in watch.run()
    (watch.state / "monitor_not_flat").unlink(missing_ok=True)
    subprocess.run(["touch", "-d", "1 minute ago", watch.state / "TRADING_STOPPED.json"], check=True)
    (watch.state / "seen_flat.json").write_text("{}")
    assert watch.run().count("make sure that everything is flat") == 1


def test_the_guardian_is_kept_alive_where_there_are_keys_also_while_stopped(watch: Watch) -> None:
    guardian = watch.home / "ops-guardian.sh"
    guardian.write_text(sleeper(watch.state / "guardian.lock", "guardian"))
    guardian.chmod(0o755)
    (watch.state / "KILL_SWITCH").write_text("")
    lock, command = watch.state / "guardian.lock", str(guardian)
    assert "guardian" not in watch.run(MONITOR_GUARDIAN_COMMAND=command)
    (watch.home / ".env").write_text("BINANCE_API_KEY=made-up\n")
    assert "guardian restart: no process" in watch.run(MONITOR_GUARDIAN_COMMAND=command)
    for _ in range(200):
        if lock.exists() and b"ops.cli guardian" in Path(f"/proc/{lock.read_text().strip()}/cmdline").read_bytes():
            break
        subprocess.run(["sleep", "0.02"], check=True)
    pid = int(lock.read_text())
    watch.started.append(pid)
    (watch.state / "guardian_pulse").write_text("")
    assert watch.run(MONITOR_GUARDIAN_COMMAND=command).count("guardian restart") == 1
    subprocess.run(["touch", "-d", "10 minutes ago", watch.state / "guardian_pulse"], check=True)
    watch.grow_old(2)
    log = watch.run(MONITOR_GUARDIAN_COMMAND=command, MONITOR_MAX_HEARTBEAT_AGE_S="1")
    assert f"guardian restart: process {pid} has not looked" in log
    assert not Path(f"/proc/{pid}").exists()
    assert not (watch.state / "lab.lock").exists(), "the lab itself stays stopped"
    for _ in range(200):
        if lock.read_text().strip() not in ("", str(pid)):
            break
        subprocess.run(["sleep", "0.02"], check=True)
    watch.started.append(int(lock.read_text()))
