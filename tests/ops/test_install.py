"""`deploy/install.sh` run again mends what is there, and run to the contrary leaves nobody behind.

The files, modes and owners are real, in a folder of their own; there is no systemd in it. The whole installer in a
clean root is `deploy/try_install.sh`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
USER = "daemon"
LAB = """#!/bin/bash
# version VERSION
here="$(cd "$(dirname "$0")" && pwd)"
mkdir -p "$here/.venv/bin"
ln -sf "$(command -v python3)" "$here/.venv/bin/python"
echo VERSION >>"$here/.venv/asked_by"
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as the installer does")


class Machine:
    """A folder that stands for a server, and a source as somebody unpacked it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.source = folder, folder / "source"
        self.prefix, self.home = folder / "opt", folder / "var"
        self.unpack("1")
        (folder / "bin").mkdir()
        for name in ("cron", "logrotate", "runuser", "userdel"):
            self.stands_for(name, "exit 0")

    def unpack(self, version: str) -> None:
        for room in ("src", "ops", "ai_brain"):
            (self.source / room).mkdir(parents=True, exist_ok=True)
            (self.source / room / "module.py").write_text("")
        (self.source / "lab").write_text(LAB.replace("VERSION", version))
        for name in (".env.example", "lab.yaml"):
            (self.source / name).write_text("")
        (self.source / "monitor_bot.sh").write_text("#!/bin/sh\n")
        for name in ("lab", "monitor_bot.sh"):
            (self.source / name).chmod(0o755)
        shutil.copytree(DEPLOY, self.source / "deploy", dirs_exist_ok=True)

    def stands_for(self, name: str, what: str) -> None:
        """A command that this machine lacks, or that must not touch it."""
        (self.folder / "bin" / name).write_text(f"#!/bin/sh\n{what}\n")
        (self.folder / "bin" / name).chmod(0o755)

    def install(self, *words: str, umask: int = 0o022, has_apt: bool = False) -> subprocess.CompletedProcess[str]:
        places = ("--prefix", self.prefix, "--home", self.home, "--user", USER, *(() if has_apt else ("--no-apt",)))
        environment = {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LAB_OUTSIDE": str(self.folder / "outside"),
        }
        return subprocess.run(
            ["bash", self.source / "deploy" / "install.sh", *places, *words],
            env=environment,
            umask=umask,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def program(self) -> Iterator[Path]:
        """Every file and folder of it, but what numba compiled."""
        for path in (self.prefix, *self.prefix.rglob("*")):
            if ".numba_cache" not in path.parts and not path.is_symlink():
                yield path


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def others_may_read(path: Path) -> bool:
    """What the lab's user needs: to read, and where somebody may run or enter it, to do that too."""
    mode = path.stat().st_mode
    return bool(mode & stat.S_IROTH) and (not mode & stat.S_IXUSR or bool(mode & stat.S_IXOTH))


def owner(path: Path) -> str:
    return pwd.getpwuid(path.lstat().st_uid).pw_name


def test_under_a_narrow_umask_the_labs_user_can_read_the_program_and_nobody_the_keys(machine: Machine) -> None:
    done = machine.install(umask=0o077)
    assert done.returncode == 0, done.stderr
    assert [path for path in machine.program() if not others_may_read(path)] == []
    assert (machine.home / ".env").stat().st_mode & 0o777 == 0o600
    assert (machine.prefix / ".home").read_text() == f"{machine.home}\n"
    for name in ("systemd/system/ai-trading-lab.service", "cron.d/ai-trading-lab", "ai-trading-lab.conf"):
        assert others_may_read(machine.folder / "outside" / "etc" / name)


def test_installing_again_opens_a_program_that_was_closed_but_no_keys_that_lie_in_it(machine: Machine) -> None:
    machine.install()
    (machine.prefix / ".env").write_text("BINANCE_API_KEY=a")
    for path in machine.program():
        path.chmod(0o700)
    assert machine.install().returncode == 0
    assert [path for path in machine.program() if not others_may_read(path)] == [machine.prefix / ".env"]


def test_installing_again_gives_the_lab_back_what_root_wrote_into_its_home(machine: Machine) -> None:
    machine.install()
    mine = [machine.home / name for name in (".env", "state/outbox", "state/audit.jsonl", "logs/ai_lab.log")]
    mine[1].mkdir()
    for path in mine[2:]:
        path.write_text("")
    for path in mine:
        os.chown(path, 0, 0)
    strange = machine.home / "of-somebody-else"
    strange.write_text("")
    link = machine.home / "state" / "link"
    link.symlink_to(strange)
    assert machine.install().returncode == 0
    assert {owner(path) for path in (*mine, link)} == {USER}
    assert owner(strange) == "root", "neither what the lab did not make nor what a link leads to"


def test_installing_again_replaces_a_program_that_is_not_from_git_and_keeps_its_packages(machine: Machine) -> None:
    machine.install()
    (machine.prefix / "ops" / "gone_since.py").write_text("")
    machine.unpack("2")
    (machine.source / ".env").write_text("BINANCE_API_KEY=a")
    done = machine.install("--prefix", f"{machine.prefix}/")  # as a shell completes it
    assert done.returncode == 0, done.stderr
    assert "anew" in done.stdout
    assert "# version 2" in (machine.prefix / "lab").read_text()
    assert (machine.prefix / ".venv" / "asked_by").read_text() == "1\n2\n"
    assert not (machine.prefix / "ops" / "gone_since.py").exists()
    assert not (machine.prefix / ".env").exists(), "keys stay where they were"
    assert not machine.prefix.with_name("opt.new").exists()


def test_a_program_from_git_stays_and_that_is_said(machine: Machine) -> None:
    machine.install()
    for words in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "1"],
    ):
        subprocess.run(["git", "-C", machine.prefix, *words], check=True)
    machine.unpack("2")
    done = machine.install()
    assert "stays at" in done.stdout
    assert "# version 1" in (machine.prefix / "lab").read_text()


def test_a_program_that_the_labs_user_cannot_run_is_no_success(machine: Machine) -> None:
    machine.stands_for("runuser", "exit 126")
    done = machine.install()
    assert done.returncode == 1
    assert f"{USER} cannot run {machine.prefix}/lab" in done.stderr


PIP_WITHOUT = "Could not find a version that satisfies the requirement numpy"
RETRY = "WARNING: Retrying after connection broken by "
APT = "E: Failed to fetch http://deb.debian.org/x  "


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        (RETRY + "'NewConnectionError(: [Errno -3] Temporary failure in name resolution')'", "no name is found (DNS)"),
        (RETRY + "'ConnectTimeoutError(: Connection to pypi.org timed out. (connect timeout=15)')'", "nothing answers"),
        (
            RETRY + "'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'",
            "a certificate",
        ),
        (RETRY + "'ProxyError('Cannot connect to proxy.', OSError('Connection refused'))'", "the proxy"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "a full disk"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "what it says is above"),
    ],
)
def test_packages_of_pip_that_do_not_come_end_with_what_it_looks_like(
    machine: Machine, printed: str, words: str
) -> None:
    (machine.folder / "log").write_text(f"Collecting certifi\n{printed}\n{PIP_WITHOUT}\n")
    with (machine.source / "lab").open("a") as program:
        program.write(f"cp {machine.folder}/log $here/.venv/.install.log\necho 'lab: no packages' >&2; exit 3\n")
    done = machine.install()
    *before, last = done.stderr.splitlines()
    assert done.returncode == 3
    assert before == ["lab: no packages"]
    assert last.startswith(f"install.sh: the packages did not come into {machine.prefix}/.venv; ")
    assert words in last


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        (APT + "Temporary failure resolving 'deb.debian.org'", "no name is found (DNS)"),
        (APT + "Could not connect to deb.debian.org:80 (1.2.3.4), connection timed out", "nothing answers"),
        (APT + "Certificate verification failed: The certificate is NOT trusted.", "a certificate"),
        (APT + "Invalid response from proxy: HTTP/1.0 407 Proxy Authentication Required", "the proxy"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "a full disk"),
        ("E: Unable to locate package python3-venv", "what it says is above"),
    ],
)
def test_packages_of_apt_that_do_not_come_end_with_what_it_looks_like(
    machine: Machine, printed: str, words: str
) -> None:
    machine.stands_for("python3", f'case "$*" in *ensurepip*) exit 1 ;; esac; exec {sys.executable} "$@"')
    (machine.folder / "said").write_text(f"{printed}\n")
    machine.stands_for("apt-get", f'[ "$1" = update ] || {{ cat {machine.folder}/said >&2; exit 100; }}')
    done = machine.install(has_apt=True)
    assert done.returncode == 3
    first, last = done.stderr.splitlines()
    assert first == printed, "it is shown all the same"
    assert last.startswith("install.sh: apt-get could not install python3-venv")
    assert words in last


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--home", "HERE/opt/home"), "lies in --prefix"),
        (("--home", "HERE/my lab"), "give a path of letters"),
        (("--prefix", "HERE/100%"), "give a path of letters"),
        (("--user", "nobody"), "no group of that name"),
        (("--home",), "--home needs a value"),
    ],
)
def test_what_units_and_cron_could_not_name_is_refused_before_anything_is_done(
    machine: Machine, words: tuple[str, ...], said: str
) -> None:
    done = machine.install(*(word.replace("HERE", str(machine.folder)) for word in words))
    assert done.returncode == 2
    assert said in done.stderr
    assert not machine.prefix.exists()


def test_a_second_lab_beside_one_that_is_there_is_refused(machine: Machine) -> None:
    machine.install()
    for place in ("--home", "--prefix"):
        done = machine.install(place, str(machine.folder / "second"))
        assert done.returncode == 2
        assert "--uninstall" in done.stderr
        assert not (machine.folder / "second").exists()


def test_a_home_behind_a_link_is_purged_where_it_lies(machine: Machine) -> None:
    disk = machine.folder / "disk"
    disk.mkdir()
    machine.home.symlink_to(disk)
    machine.install()
    assert (disk / ".env").exists()
    unanswered = machine.install("--purge")
    assert unanswered.returncode == 1
    assert f"kept: {disk}" in unanswered.stderr
    assert machine.install("--purge", "--yes").returncode == 0
    assert not disk.exists(), "keys and all"


def test_keys_that_were_sealed_reach_the_units_again_after_an_uninstall(machine: Machine) -> None:
    sealed = machine.folder / "outside" / "etc" / "credstore.encrypted" / "ai-trading-lab.env"
    sealed.parent.mkdir(parents=True)
    sealed.write_text("as seal.sh left it")
    drop_in = machine.folder / "outside/etc/systemd/system/ai-trading-lab-guardian.service.d/sealed.conf"
    machine.install()
    assert f"LoadCredentialEncrypted=lab.env:{sealed}" in drop_in.read_text()
    machine.install("--uninstall")
    assert not drop_in.parent.exists()
    assert sealed.exists()


@pytest.mark.parametrize("words", [("--uninstall",), ("--purge", "--yes")], ids=["uninstall", "purge"])
def test_taking_the_lab_away_ends_its_processes_first(machine: Machine, words: tuple[str, ...]) -> None:
    machine.install()
    names = [f"{machine.prefix}/.venv/bin/python", "60"]
    with subprocess.Popen(names, executable=shutil.which("sleep"), user=USER) as lab:
        began = time.monotonic()
        done = machine.install(*words)
        assert time.monotonic() - began < 15
        assert lab.wait(timeout=1) != 0
    assert done.returncode == 0, done.stderr
    assert not machine.prefix.exists()
    assert machine.home.exists() == ("--purge" not in words)
    assert not list((machine.folder / "outside" / "etc").rglob("ai-trading-lab*.service"))
