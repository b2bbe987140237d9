"""Secrets and gates come from `.env` and the environment, and every wrong line is told in one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ops import stop_trading
from ops.environment import SEALED, find_home, read_environment
from trading.domain.errors import SettingsError
from trading.storage.home import Home


def write_env(home: Home, text: str, mode: int = 0o600) -> None:
    home.env_file.write_text(text)
    home.env_file.chmod(mode)


def test_nothing_set_means_paper_and_console(home: Home) -> None:
    environment = read_environment(home, process={})
    assert environment.telegram_token is None
    assert not environment.live_trading
    assert not environment.kill
    assert environment.secret_values() == []


def test_the_process_environment_wins_over_the_file(home: Home) -> None:
    write_env(home, "TELEGRAM_TOKEN=from-file\nTELEGRAM_CHAT_ID=1\n")
    environment = read_environment(home, process={"TELEGRAM_TOKEN": "from-process"})
    assert environment.secret_values() == ["from-process"]
    assert environment.telegram_chat_id == "1"


@pytest.mark.parametrize("word", ["true", "yes", "1", "Y"])
def test_only_the_exact_word_opens_the_first_gate(home: Home, word: str) -> None:
    with pytest.raises(SettingsError, match=r"LIVE_TRADING=.*write LIVE_TRADING=YES or leave it out"):
        read_environment(home, process={"LIVE_TRADING": word})
    assert read_environment(home, process={"LIVE_TRADING": "YES"}).live_trading


def test_a_servers_program_sends_to_its_own_command_and_stops_nothing_in_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ops.environment.REPOSITORY", tmp_path)
    monkeypatch.delenv("LAB_HOME", raising=False)
    assert find_home() == Home(tmp_path)
    (tmp_path / ".home").write_text("/var/lib/ai-trading-lab\n")
    assert stop_trading.main([]) == 2
    assert "is in /var/lib/ai-trading-lab: type ai-lab" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [".home"]
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    assert find_home() == Home(tmp_path)


def test_a_user_without_a_name_stops_the_lab_all_the_same(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4242")  # as in a container that runs as a number

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setenv("LAB_HOME", str(home.root))
    assert stop_trading.main([]) == 0
    assert f"uid {os.getuid()}" in home.stopped_file.read_text()


def test_an_old_name_is_taken_with_a_warning(home: Home) -> None:
    with pytest.warns(UserWarning, match="BINANCE_SECRET_KEY is an old name: call it BINANCE_API_SECRET"):
        environment = read_environment(home, process={"BINANCE_API_KEY": "k", "BINANCE_SECRET_KEY": "s"})
    assert environment.binance_api_secret is not None


def test_an_unknown_name_names_the_nearest_known_one(home: Home) -> None:
    write_env(home, "TELEGRAM_TOKN=abc\n")
    with pytest.raises(SettingsError, match=r"TELEGRAM_TOKN: unknown name; did you mean TELEGRAM_TOKEN\?"):
        read_environment(home, process={})


def test_a_file_that_others_may_read_is_refused(home: Home) -> None:
    write_env(home, "KILL=0\n", mode=0o644)
    with pytest.raises(SettingsError, match="others may read it; run: chmod 600"):
        read_environment(home, process={})


def test_half_a_pair_of_keys_is_refused_without_telling_it(home: Home) -> None:
    with pytest.raises(SettingsError, match="come in pairs") as refusal:
        read_environment(home, process={"BINANCE_API_KEY": "canary-key"})
    assert "canary" not in str(refusal.value)


def test_secrets_do_not_show_when_the_environment_is_printed(home: Home) -> None:
    environment = read_environment(home, process={"GEMINI_API_KEY": "canary-gemini"})
    assert "canary" not in repr(environment)
    assert environment.secret_values() == ["canary-gemini"]


def test_keys_that_systemd_opened_stand_before_the_file_and_behind_the_process(home: Home, tmp_path: Path) -> None:
    write_env(home, "GEMINI_API_KEY=of-file\nPAGE_TOKEN=of-file\nOPENAI_API_KEY=of-file\n")
    (tmp_path / SEALED).write_text("GEMINI_API_KEY=sealed\nPAGE_TOKEN=sealed\n")
    (tmp_path / SEALED).chmod(0o440)  # as systemd's files look, whose readers are in an ACL
    environment = read_environment(home, process={"CREDENTIALS_DIRECTORY": str(tmp_path), "PAGE_TOKEN": "process"})
    assert environment.page_token is not None
    assert (environment.secret_values(), environment.page_token.get_secret_value()) == (
        ["sealed", "process"],
        "process",
    )


def test_a_unit_without_sealed_keys_has_those_of_the_file(home: Home, tmp_path: Path) -> None:
    write_env(home, "PAGE_TOKEN=of-file\n")
    assert read_environment(home, process={"CREDENTIALS_DIRECTORY": str(tmp_path)}).secret_values() == ["of-file"]


def test_a_file_of_somebody_else_is_one_line(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `sudo cp .env` leaves it; whoever runs these tests may be root, whom nothing is refused."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    home.env_file.write_text("KILL=1\n")
    home.env_file.chmod(0o600)
    monkeypatch.setattr("ops.environment.dotenv_values", refused)
    with pytest.raises(SettingsError, match=r"\.env: cannot be read: Permission denied; chown it"):
        read_environment(home)
