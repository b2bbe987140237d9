"""`deploy/seal.sh`: keys leave `.env` for a file that only this machine opens, and nothing is lost on the way."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from ops.environment import SEALED, read_environment
from trading.storage.home import Home

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
CANARY = "canary-of-a-secret"
ENV = f"""# Keys.
TELEGRAM_TOKEN=123:token
TELEGRAM_CHAT_ID=1
BINANCE_API_KEY=a-key
export BINANCE_API_SECRET = '{CANARY}=='
LIVE_TRADING=YES
PAGE_TOKEN=
"""
BACKUP = """#!/bin/sh
cd "$LAB_HOME" && tar -czf backups/lab-2026-02-02.tar.gz .env
"""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("systemd-creds") is None, reason="needs root and systemd-creds"
)


@dataclass(frozen=True, slots=True)
class Server:
    """Where install.sh would have put things."""

    folder: Path

    @property
    def home(self) -> Home:
        return Home(self.folder / "home")

    @property
    def sealed(self) -> Path:
        return self.folder / "store" / "lab.env"

    def run(self, *words: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "LAB_CONF": str(self.folder / "lab.conf")}
        command = ["bash", DEPLOY / "seal.sh", *words]
        return subprocess.run(command, env=environment, input=answer, capture_output=True, text=True, timeout=30)

    def written_before(self) -> tuple[Path, Path]:
        """An archive and what a restore has set aside, both with the keys in plain."""
        archive, aside = self.home.root / "backups" / "lab-2026-01-01.tar.gz", self.home.root / "before-restore-2026"
        for folder in (archive.parent, aside):
            folder.mkdir()
        subprocess.run(["tar", "-czf", archive, "-C", self.home.root, ".env"], check=True)
        shutil.copy(self.home.env_file, aside)
        return archive, aside / ".env"

    def opened(self) -> str:
        """As systemd would open it."""
        command = ["systemd-creds", "decrypt", "--name=lab.env", self.sealed, "-"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def server(tmp_path: Path) -> Server:
    made = Server(tmp_path)
    made.home.root.mkdir()
    (tmp_path / "prefix").mkdir()
    (tmp_path / "prefix" / "lab").write_text(BACKUP)
    (tmp_path / "prefix" / "lab").chmod(0o755)
    made.home.env_file.write_text(ENV)
    made.home.env_file.chmod(0o600)
    (tmp_path / "lab.conf").write_text(
        f"prefix={tmp_path}/prefix home={tmp_path}/home user=root units_folder={tmp_path}/units sealed={made.sealed} "
        f"deploy_log_folder={tmp_path}/log systemd_there={tmp_path}/nowhere\n"
    )
    return made


def test_what_moves_money_is_sealed_and_what_the_watchman_needs_stays(server: Server, tmp_path: Path) -> None:
    done = server.run()
    assert done.returncode == 0, done.stderr
    assert "sealed: BINANCE_API_KEY BINANCE_API_SECRET" in done.stdout
    has_tpm = subprocess.run(["systemd-creds", "has-tpm2"], capture_output=True).returncode == 0
    assert ("this machine has no TPM" in done.stdout) != has_tpm, "a stolen disk is told as what it is"
    left = server.home.env_file.read_text()
    assert left == (
        "# Keys.\nTELEGRAM_TOKEN=123:token\nTELEGRAM_CHAT_ID=1\nLIVE_TRADING=YES\nPAGE_TOKEN=\n"
        "# Sealed by deploy/seal.sh: BINANCE_API_KEY BINANCE_API_SECRET\n"
    )
    assert server.home.env_file.stat().st_mode & 0o777 == 0o600
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert CANARY.encode() not in path.read_bytes(), path
    assert CANARY not in done.stdout + done.stderr
    for unit in ("ai-trading-lab", "ai-trading-lab-guardian", "ai-trading-lab-page"):
        drop_in = (tmp_path / "units" / f"{unit}.service.d" / "sealed.conf").read_text()
        assert f"LoadCredentialEncrypted=lab.env:{server.sealed}" in drop_in
    given = tmp_path / "given"
    given.mkdir()
    (given / SEALED).write_text(server.opened())
    environment = read_environment(server.home, process={"CREDENTIALS_DIRECTORY": str(given)})
    assert environment.binance_api_secret is not None
    assert environment.binance_api_secret.get_secret_value() == f"{CANARY}=="
    assert environment.live_trading


def test_opening_brings_back_what_was_there(server: Server, tmp_path: Path) -> None:
    server.run()
    done = server.run("--open")
    assert done.returncode == 0, done.stderr
    assert sorted(server.home.env_file.read_text().splitlines()) == sorted(ENV.splitlines())
    assert not server.sealed.exists()
    assert list((tmp_path / "units").iterdir()) == []


def test_a_new_key_takes_the_place_of_the_sealed_one_and_the_others_stay(server: Server) -> None:
    server.run()
    with server.home.env_file.open("a") as file:
        file.write("BINANCE_API_KEY=another\nGEMINI_API_KEY=g\n")
    assert server.run().returncode == 0
    lines = server.opened().splitlines()
    assert "BINANCE_API_KEY=another" in lines
    assert "BINANCE_API_KEY=a-key" not in lines
    assert f"export BINANCE_API_SECRET = '{CANARY}=='" in lines
    assert "GEMINI_API_KEY=g" in lines


@pytest.mark.parametrize("words", [(), ("--open",)], ids=["again", "open"])
def test_what_cannot_be_opened_leaves_everything_as_it_was(server: Server, words: tuple[str, ...]) -> None:
    server.run()
    with server.home.env_file.open("a") as file:
        file.write("GEMINI_API_KEY=g\n")
    before = server.home.env_file.read_text()
    server.sealed.write_text("of another machine")
    done = server.run(*words)
    assert done.returncode == 1
    assert "cannot be opened" in done.stderr
    assert server.home.env_file.read_text() == before
    assert server.sealed.read_text() == "of another machine"


def test_what_still_shows_keys_is_named_and_stays_unless_somebody_says_remove(server: Server) -> None:
    archive, aside = server.written_before()
    for answer in ("", "yes\n"):
        done = server.run(answer=answer)
        assert done.returncode == 0, done.stderr
        assert f"still readable in:\n  {archive}\n  {aside}\n" in done.stdout
        assert "a new key at the exchange" in done.stdout
        assert "backups no longer hold these keys" not in done.stdout
        assert archive.exists()
        assert aside.exists()
        server.run("--open")


def test_removing_what_shows_keys_leaves_a_backup_that_does_not(server: Server) -> None:
    archive, aside = server.written_before()
    done = server.run(answer="remove\n")
    assert done.returncode == 0, done.stderr
    assert not archive.exists()
    assert list(aside.parent.parent.glob("before-restore-*")) == [aside.parent], (
        "of what was set aside, the keys alone go"
    )
    assert not aside.exists()
    (new,) = archive.parent.iterdir()
    held = subprocess.run(["tar", "-xzOf", new, ".env"], capture_output=True, text=True, check=True).stdout
    assert "TELEGRAM_TOKEN" in held
    assert CANARY not in held
    with server.home.env_file.open("a") as file:
        file.write("GEMINI_API_KEY=g\n")
    assert "still readable" not in server.run().stdout


def test_without_a_new_backup_none_is_removed(server: Server) -> None:
    archive, aside = server.written_before()
    (server.folder / "prefix" / "lab").write_text("#!/bin/sh\nexit 1\n")
    done = server.run(answer="remove\n")
    assert done.returncode == 1
    assert "the old ones are kept" in done.stderr
    assert archive.exists()
    assert aside.exists()


def test_nothing_to_seal_and_a_wrong_word_are_one_line(server: Server) -> None:
    server.home.env_file.write_text("TELEGRAM_TOKEN=1:t\nTELEGRAM_CHAT_ID=1\n")
    for words, said in (((), "no key in"), (("--open",), "nothing is sealed"), (("--close",), "unknown")):
        done = server.run(*words)
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
