"""The log is one greppable line per event, and no secret ever reaches it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from ops.logs import set_up_logs
from ops.service.wiring import log_event
from trading.domain.clock import Clock, parse_iso
from trading.domain.events import Event, Severity

TOKEN = "bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "ai_lab.log"
    set_up_logs(file, clock=Clock(origin_ms=parse_iso("2024-11-01")), secrets=["canary-secret"], to_console=False)
    yield file
    structlog.reset_defaults()
    for handler in list(logging.getLogger().handlers):
        logging.getLogger().removeHandler(handler)
        handler.close()


def test_a_line_has_time_event_and_facts(log_file: Path) -> None:
    structlog.get_logger("x").info("carry.refused", reason="BASIS_TOO_WIDE", value=0.0031)
    assert log_file.read_text() == (
        "at=2024-11-01T00:00:00Z level=info event=carry.refused reason=BASIS_TOO_WIDE value=0.0031\n"
    )


def test_what_a_human_is_alarmed_about_is_found_among_the_warnings(log_file: Path) -> None:
    for name, severity in (("risk.halted", Severity.ALERT), ("strategy.review", Severity.NOTICE)):
        log_event(Event(1, name, {"reason": "DAILY_LOSS"}, severity))
    assert [line.split()[1:3] for line in log_file.read_text().splitlines()] == [
        ["level=warning", "event=risk.halted"],
        ["level=info", "event=strategy.review"],
    ]


def test_known_secrets_and_what_looks_like_one_are_taken_out_everywhere(log_file: Path) -> None:
    log = structlog.get_logger("x")
    log.info("call", url=f"https://api.telegram.org/{TOKEN}/sendMessage", headers={"X-MBX-APIKEY": "canary-secret"})
    logging.getLogger("library").warning("GET /order?signature=%s", "a1" * 32)
    try:
        raise ValueError("key canary-secret refused")
    except ValueError as error:
        log.error("bug", exc_info=error)
    text = log_file.read_text()
    for secret in ("canary-secret", TOKEN, "a1" * 32):
        assert secret not in text
    assert text.count("***") >= 4


def test_the_library_that_prints_the_token_is_silent(log_file: Path) -> None:
    logging.getLogger("httpx").info("HTTP Request: POST https://api.telegram.org/%s/sendMessage", TOKEN)
    assert log_file.read_text() == ""


def test_what_a_full_disk_does_not_take_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ai_lab.log").symlink_to("/dev/full")
    set_up_logs(tmp_path / "ai_lab.log", clock=Clock(), secrets=[], to_console=False)
    try:
        structlog.get_logger("x").info("carry.opened", base=1)
        said = capsys.readouterr().err
    finally:
        structlog.reset_defaults()
        root = logging.getLogger()
        for handler in list(root.handlers):
            root.removeHandler(handler)
            with contextlib.suppress(OSError):
                handler.close()
    assert said.count("\n") == 1
    assert "No space left on device: at=" in said
    assert "event=carry.opened base=1" in said
