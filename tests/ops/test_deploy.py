"""What `deploy/` puts onto a server: units that honour a stop and take nothing they need not; updates that roll back.

`deploy/update.sh` runs on real git and real files; what needs root or a systemd stands beside it on the PATH. The whole
installer in a clean root is `deploy/try_install.sh`, minutes of work, for whoever has root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def filled(template: Path, prefix: Path) -> str:
    """As install.sh fills it."""
    text = template.read_text().replace("@HARDENING@\n", (DEPLOY / "systemd" / "hardening.conf").read_text())
    for name, value in (("PREFIX", prefix), ("HOME", prefix), ("USER", "daemon"), ("UNIT", "ai-trading-lab")):
        text = text.replace(f"@{name}@", str(value))
    return text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_takes_the_units_without_a_complaint_and_finds_little_exposed(tmp_path: Path) -> None:
    for name in ("lab", "monitor_bot.sh"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "docs").mkdir()
    units = []
    for template in UNITS:
        unit = tmp_path / template.name
        unit.write_text(filled(template, tmp_path))
        units.append(unit)
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if "ai-trading-lab" in line] == []
    for unit in units:
        told = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True
        ).stdout
        exposure = re.search(r"Overall exposure level for .*: (\d+\.\d+)", told)
        assert exposure is not None, told
        assert float(exposure[1]) < 3.0


@pytest.mark.parametrize("template", UNITS, ids=lambda path: path.name)
def test_no_unit_runs_as_root_and_no_name_is_left_open(template: Path, tmp_path: Path) -> None:
    text = filled(template, tmp_path)
    assert "@" not in text.replace("@system-service", "").replace("@privileged", "").replace("@obsolete", "")
    assert "User=daemon" in text
    assert "NoNewPrivileges=yes" in text


def test_the_service_asks_whether_it_may_start_and_the_guardian_whether_it_has_keys() -> None:
    service, guardian = ((DEPLOY / "systemd" / f"ai-trading-lab{end}.service").read_text() for end in ("", "-guardian"))
    assert "ExecCondition=@PREFIX@/monitor_bot.sh --may-start" in service
    assert "--may-start" not in guardian, "a guardian works while a stop is in force"
    assert "ExecCondition=@PREFIX@/monitor_bot.sh --may-guard" in guardian
    for text in (service, guardian):
        assert "Restart=always" in text
        assert "WatchdogSec=" in text


def test_the_watchman_runs_as_the_lab_and_knows_who_starts_it() -> None:
    (line,) = [line for line in (DEPLOY / "cron").read_text().splitlines() if line.startswith("*/5")]
    assert line.split()[5:] == [
        "@USER@",
        "LAB_HOME=@HOME@",
        "MONITOR_SUPERVISOR=@SUPERVISOR@",
        "@PREFIX@/monitor_bot.sh",
    ]


def test_the_container_copies_what_there_is_and_runs_as_nobody_who_matters() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert list(ROOT.glob(source)), f"COPY {source}: there is no such file"
    assert text.index("USER ai-lab") < text.index("ENTRYPOINT")
    assert "--when-allowed" in text, "a stop stays a stop, whatever restarts the container"
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert not {"ports", "privileged"} & set(service)
    for name in ("service", "guardian", "watchman"):
        assert services[name]["pid"] == "service:processes", "they see each other, and none ends with another"
        assert services[name]["init"] is False, "there is one already; podman refuses a second"
    assert services["processes"]["init"] is True
    assert "--when-keyed" in services["guardian"]["entrypoint"], "idle without keys, and no stop holds it"
    assert services["watchman"]["environment"] == {"MONITOR_SUPERVISOR": "containers"}


PROGRAM = """#!/bin/bash
# stands for the lab at version VERSION
case "$1" in
    --help) echo packages-VERSION >"$(dirname "$0")/.venv/packages" ;;
    backup) mkdir -p "$LAB_HOME/backups" && touch "$LAB_HOME/backups/lab-VERSION.tar.gz" ;;
    doctor) DOCTOR ;;
esac
"""
SYSTEMCTL = """#!/bin/bash
echo "$*" >>"{folder}/systemctl_words"
case "$1" in
    is-active) [ -e "{folder}/runs/${{@: -1}}" ] ;;
    restart)
        if grep -q GOOD "{prefix}/lab"; then touch "{folder}/runs/${{@: -1}}" "{home}/state/heartbeat.json"
        else rm -f "{folder}/runs/${{@: -1}}"; fi ;;
esac
"""
AS_USER = """#!/bin/bash
[ "$1" = -u ] && shift 3
exec "$@"
"""


class Server:
    """An upstream, an installed checkout of its first commit that runs, and what stands for root and systemd."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.upstream = folder, folder / "upstream"
        self.prefix, self.home = folder / "opt", folder / "var"
        for path in (self.upstream, self.home / "state", folder / "bin", folder / "runs", folder / "systemd"):
            path.mkdir(parents=True)
        self.git("init", "-q", "-b", "main", ".")
        self.release("1")
        subprocess.run(["git", "clone", "-q", self.upstream, self.prefix], check=True)
        (self.prefix / ".venv").mkdir()
        (self.prefix / ".venv" / "packages").write_text("packages-1\n")
        (self.prefix / ".numba_cache").mkdir()
        self.put("bin/id", "#!/bin/bash\necho 0\n")
        self.put("bin/chown", "#!/bin/bash\n")
        self.put("bin/runuser", AS_USER)
        self.put("bin/systemctl", SYSTEMCTL.format(folder=folder, prefix=self.prefix, home=self.home))
        for unit in ("ai-trading-lab", "ai-trading-lab-guardian"):
            (folder / "runs" / unit).touch()
        (folder / "lab.conf").write_text(
            f"prefix={self.prefix}\nhome={self.home}\nuser=ai-lab\nsystemd_there={folder}/systemd\n"
            f"deploy_log_folder={folder}/log\n"
        )

    def put(self, name: str, content: str) -> None:
        (self.folder / name).write_text(content)
        (self.folder / name).chmod(0o755)

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *identity, *words], cwd=self.upstream, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def release(self, version: str, *, doctor: str = "true", quality: str = "GOOD") -> None:
        program = PROGRAM.replace("VERSION", version).replace("DOCTOR", doctor) + f"# {quality}\n"
        (self.upstream / "lab").write_text(program)
        (self.upstream / "lab").chmod(0o755)
        shutil.copy(ROOT / "monitor_bot.sh", self.upstream / "monitor_bot.sh")
        (self.upstream / ".gitignore").write_text(".venv*\n.numba_cache\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", version)
        self.git("tag", f"v{version}")

    def update(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LAB_CONF": str(self.folder / "lab.conf"),
            "HEALTH_S": "2",
        }
        return subprocess.run(
            ["bash", DEPLOY / "update.sh", *words], env=environment, capture_output=True, text=True, timeout=60
        )

    @property
    def version(self) -> str:
        done = subprocess.run(
            ["git", "describe", "--tags"], cwd=self.prefix, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    @property
    def packages(self) -> str:
        return (self.prefix / ".venv" / "packages").read_text().strip()

    def asked(self, word: str) -> bool:
        words = self.folder / "systemctl_words"
        return words.exists() and any(line.startswith(word) for line in words.read_text().splitlines())


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_an_update_backs_up_asks_the_doctor_and_waits_for_a_heartbeat(server: Server) -> None:
    server.release("2")
    done = server.update()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "healthy: a heartbeat" in done.stdout
    assert (server.version, server.packages) == ("v2", "packages-2")
    assert (server.home / "backups" / "lab-1.tar.gz").exists(), "by the old program, before anything changed"
    assert "updated from" in (server.folder / "log" / "deploy.log").read_text()
    assert "already at" in server.update().stdout


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda server: server.release("2", doctor="exit 1"), "the doctor says no"),
        (lambda server: server.release("2", quality="BAD"), "no heartbeat within 2 s"),
    ],
    ids=["the doctor says no", "no heartbeat comes"],
)
def test_what_does_not_work_is_rolled_back_with_its_packages(
    server: Server, broken: Callable[[Server], None], said: str
) -> None:
    broken(server)
    done = server.update()
    assert done.returncode == 1
    assert said in done.stdout
    assert "rolled back to" in done.stderr
    assert (server.version, server.packages) == ("v1", "packages-1")
    assert (server.folder / "runs" / "ai-trading-lab").exists()


@pytest.mark.parametrize("stop", ["state/TRADING_STOPPED.json", "state/KILL_SWITCH", ".kill"])
def test_an_update_undoes_no_stop_and_starts_nothing_beside_it(server: Server, stop: str) -> None:
    (server.home / stop).write_text("{}")
    server.release("2")
    done = server.update()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not started: not started:" not in done.stdout
    assert "a stop is in force and stays so" in done.stdout
    assert server.version == "v2"
    assert not server.asked("restart")
    assert (server.home / stop).exists()


def test_what_did_not_run_is_not_started(server: Server) -> None:
    shutil.rmtree(server.folder / "runs")
    server.release("2")
    assert "not started: it did not run before" in server.update().stdout
    assert not server.asked("restart")


def test_an_older_tag_can_be_asked_for_and_an_unknown_one_is_refused(server: Server) -> None:
    server.release("2")
    assert server.update().returncode == 0
    assert server.update("v1").returncode == 0
    assert server.version == "v1"
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


def test_a_dry_run_only_says_what_would_be_done(server: Server) -> None:
    server.release("2")
    assert re.search(r"from \w+ to \w+: 1 commits", server.update("--dry-run").stdout)
    assert server.version == "v1"
    assert not (server.home / "backups").exists()
