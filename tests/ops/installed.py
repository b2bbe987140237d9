"""A server for the tests of `deploy/update.sh`: an upstream, an installed checkout of it, and what stands for systemd.

Git, files, locks and signals are real; what needs root or a systemd stands on the PATH before the real one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SERVICE, GUARDIAN = "ai-trading-lab", "ai-trading-lab-guardian"

PROGRAM = """#!/bin/bash
# stands for the lab at version VERSION
here="$(dirname "$0")"
case "$1" in
    --help)
        touch "$here/.venv/half"
        sleep PACKAGES_S
        rm -f "$here/.venv/half" "$here/.venv/packages"
        echo packages-VERSION >"$here/.venv/packages" ;;
    backup) mkdir -p "$LAB_HOME/backups" && touch "$LAB_HOME/backups/lab-VERSION.tar.gz" ;;
    doctor) DOCTOR ;;
    run)
        sleep 0.3
        exec 7>>"$LAB_HOME/state/lab.lock"
        flock -n 7 || exit 1
        echo $$ >"$LAB_HOME/state/lab.lock"
        sleep 0.05
        echo VERSION >"$LAB_HOME/state/heartbeat.json"
        exec -a "python -m ops.cli run" sleep 100 ;;
esac
"""
SYSTEMCTL = """#!/bin/bash
# stands for systemd: a unit is in the state that its file in runs/ says
echo "$*" >>"{folder}/systemctl_words"
unit="${{@: -1}}"
case "$unit" in *-guardian) lock=guardian.lock sign=guardian_pulse ;; *) lock=lab.lock sign=heartbeat.json ;; esac
now() {{ sleep 0.02; touch "{home}/state/$1"; }}
case "$1" in
    is-active)
        state="$(cat "{folder}/runs/$unit" 2>/dev/null || echo inactive)"
        [ "$2" = --quiet ] || echo "$state"
        [ "$state" = active ] ;;
    restart)
        case "$(tail -n 1 "{prefix}/lab"):$unit" in
            *"DIES $unit:$unit") now $lock; now $sign; echo activating >"{folder}/runs/$unit" ;;
            *"SILENT:ai-trading-lab") now $sign; now $lock; echo active >"{folder}/runs/$unit" ;;
            *) now $lock; now $sign; echo active >"{folder}/runs/$unit" ;;
        esac ;;
esac
"""
AS_USER = """#!/bin/bash
[ "$1" = -u ] && shift 3
exec "$@"
"""


class Server:
    """An upstream, and an installed checkout of its first commit that runs under systemd."""

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
        for name in ("chown", "systemd-analyze"):
            self.put(f"bin/{name}", "#!/bin/bash\n")
        self.put("bin/id", "#!/bin/bash\necho 0\n")
        self.put("bin/runuser", AS_USER)
        self.put("bin/systemctl", SYSTEMCTL.format(folder=folder, prefix=self.prefix, home=self.home))
        for unit in (SERVICE, GUARDIAN):
            self.is_now(unit, "active")
        self.configure(systemd_there=folder / "systemd")

    def configure(self, *, systemd_there: Path) -> None:
        """As install.sh would have written it, and whether a systemd runs."""
        (self.folder / "lab.conf").write_text(
            f"prefix={self.prefix}\nhome={self.home}\nuser=ai-lab\nsystemd_there={systemd_there}\n"
            f"deploy_log_folder={self.folder}/log\n"
        )

    def is_now(self, unit: str, state: str) -> None:
        (self.folder / "runs" / unit).write_text(f"{state}\n")

    def put(self, name: str, content: str) -> None:
        (self.folder / name).write_text(content)
        (self.folder / name).chmod(0o755)

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *identity, *words], cwd=self.upstream, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def release(
        self, version: str, *, doctor: str = "true", quality: str = "GOOD", packages_s: int = 0, deploy: bool = False
    ) -> None:
        """A commit and tag upstream.

        Args:
            version: Its tag, without the v.
            doctor: What its doctor answers.
            quality: GOOD, SILENT (its service gives no heartbeat) or `DIES UNIT`, at every start.
            packages_s: Seconds that its packages take.
            deploy: With templates of its own around it, which name the version.
        """
        program = PROGRAM.replace("VERSION", version).replace("DOCTOR", doctor).replace("PACKAGES_S", str(packages_s))
        (self.upstream / "lab").write_text(program + f"# {quality}\n")
        (self.upstream / "lab").chmod(0o755)
        shutil.copy(ROOT / "monitor_bot.sh", self.upstream / "monitor_bot.sh")
        (self.upstream / ".gitignore").write_text(".venv*\n.numba_cache\n")
        if deploy:
            shutil.copytree(DEPLOY, self.upstream / "deploy", dirs_exist_ok=True)
            for name in ("cron", f"systemd/{SERVICE}.service"):
                template = self.upstream / "deploy" / name
                template.write_text(f"# of version {version}\n" + template.read_text())
        self.git("add", "-A")
        self.git("commit", "-q", "-m", version)
        self.git("tag", f"v{version}")

    def begin(self, *words: str, umask: int = 0o022) -> subprocess.Popen[str]:
        """update.sh in a session of its own, as a login has one."""
        environment = {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LAB_CONF": str(self.folder / "lab.conf"),
            "LAB_OUTSIDE": str(self.folder / "outside"),
            "HEALTH_S": "2",
        }
        return subprocess.Popen(
            ["bash", DEPLOY / "update.sh", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            umask=umask,
            start_new_session=True,
        )

    def update(self, *words: str, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
        begun = self.begin(*words, umask=umask)
        out, err = begun.communicate(timeout=60)
        return subprocess.CompletedProcess(begun.args, begun.returncode, out, err)

    def cut_off(self, how: signal.Signals) -> None:
        """Begin an update, and send a signal to all of its session while packages come."""
        begun = self.begin()
        until = time.monotonic() + 30
        while not (self.prefix / ".venv" / "half").exists():
            assert time.monotonic() < until, "no packages came"
            time.sleep(0.02)
        os.killpg(begun.pid, how)
        begun.communicate(timeout=60)

    def watchman(self) -> None:
        """As cron calls it where there is no systemd."""
        environment = {"PATH": os.environ["PATH"], "LAB_HOME": str(self.home)}
        subprocess.run([self.prefix / "monitor_bot.sh"], env=environment, check=True, timeout=60)

    def end(self) -> None:
        """What the watchman started ends with the test."""
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int((self.home / "state" / "lab.lock").read_text()), signal.SIGKILL)

    @property
    def version(self) -> str:
        done = subprocess.run(
            ["git", "describe", "--tags"], cwd=self.prefix, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    @property
    def packages(self) -> str:
        assert not (self.prefix / ".venv" / "half").exists()
        return (self.prefix / ".venv" / "packages").read_text().strip()

    @property
    def log(self) -> str:
        return (self.folder / "log" / "deploy.log").read_text()

    def restarted(self) -> list[str]:
        """Units that systemd was asked to start anew, in order."""
        words = self.folder / "systemctl_words"
        lines = words.read_text().splitlines() if words.exists() else []
        return [line.split()[-1] for line in lines if line.startswith("restart")]
