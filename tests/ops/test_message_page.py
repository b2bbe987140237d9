"""`docs/messages.md` holds every message, and its examples are what the program prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops import reports
from ops.messages import ENDS, ENDS_OF_THE_SAME, WORDS, alert, approval_request
from tests.ops.test_explain import an_hour, cycle_example
from tests.ops.test_messages import REVIEW
from tests.ops.test_reports import FULL
from trading.domain.clock import parse_iso
from trading.domain.events import Event, Severity

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "messages.md").read_text(encoding="utf-8")
HALT = Event(
    parse_iso("2026-01-21T09:14:03Z"),
    "risk.halted",
    {"reason": "DAILY_LOSS", "value": 0.0312, "limit": 0.03},
    Severity.ALERT,
)
EXAMPLES = {
    "hourly": lambda: reports.hourly_report(FULL),
    "heartbeat": lambda: reports.heartbeat(FULL),
    "summary": lambda: reports.summary(FULL, title="Daily summary"),
    "insights": lambda: reports.insights(FULL, [("LOST_ON_SEARCH", 7), ("TOO_FEW_SIGNALS", 2), ("BAD_SPEC", 1)]),
    "approval": lambda: approval_request(REVIEW),
    "alert": lambda: alert(HALT),
    "explain": lambda: "\n".join(cycle_example(an_hour()[1][40])),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_what_the_program_prints(name: str) -> None:
    assert f"```text\n{EXAMPLES[name]()}\n```" in PAGE


def test_every_event_with_words_and_every_alert_that_can_end_is_on_the_page() -> None:
    ended = {key.partition(":")[0] for keys in ENDS.values() for key in keys} | set(ENDS_OF_THE_SAME.values())
    assert {name for name in {*WORDS, *ended} if name not in PAGE} == set()
