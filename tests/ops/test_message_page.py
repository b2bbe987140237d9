"""`docs/messages.md` holds every message, and its examples are what the program prints."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ops import reports
from ops.telling.alert_keys import ENDS, ENDS_OF_THE_SAME
from ops.telling.messages import WORDS, alert
from tests.ops.test_explain import an_hour, cycle_example
from tests.ops.test_reports import DAY, FULL
from tests.ops.test_review_words import request
from trading.domain.clock import parse_iso
from trading.domain.events import Event, Severity

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")
LOUD = re.compile(r"Severity\.(NOTICE|ALERT)")
EVENT = re.compile(r"[a-z]+\.(?!yaml|json|db|lock|log)[a-z_]+")
HALT = Event(
    parse_iso("2026-01-21T09:14:03Z"),
    "risk.halted",
    {"reason": "DRAWDOWN_REVIEW", "value": 0.1012, "limit": 0.1},
    Severity.ALERT,
)
EXAMPLES = {
    "hourly": lambda: reports.hourly_report(FULL),
    "heartbeat": lambda: reports.heartbeat(FULL),
    "summary": lambda: reports.summary(FULL, DAY, title="Daily summary"),
    "insights": lambda: reports.insights(FULL, [("LOST_ON_SEARCH", 7), ("TOO_FEW_SIGNALS", 2), ("BAD_SPEC", 1)]),
    "approval": request,
    "alert": lambda: alert(HALT),
    "explain": lambda: "\n".join(cycle_example(an_hour()[1][40])),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_what_the_program_prints(name: str) -> None:
    assert f"```text\n{EXAMPLES[name]()}\n```" in PAGE


def names_that_end() -> set[str]:
    """Alerts that some event ends."""
    keys = [key for table in (ENDS, ENDS_OF_THE_SAME) for keys in table.values() for key in keys]
    return {key.partition(":")[0] for key in keys}


def test_every_event_with_words_and_every_alert_that_can_end_is_on_the_page() -> None:
    assert {name for name in {*WORDS, *names_that_end()} if name not in PAGE} == set()


def loud_events(text: str) -> set[str]:
    """Events that a module can tell a human: every name in it, but those that are only logged, or told as `INFO`."""
    nodes = list(ast.walk(ast.parse(text)))
    quiet = {
        part.value
        for node in nodes
        if (isinstance(node, ast.Call) and re.search(r"(tell|Event|log\.\w+)$", ast.unparse(node.func)))
        or isinstance(node, ast.Tuple)
        if "log." in ast.unparse(node) or not re.search(r"severity|Severity\.(NOTICE|ALERT)|halts", ast.unparse(node))
        for part in ast.walk(node)
        if isinstance(part, ast.Constant)
    }
    names = {node.value for node in nodes if isinstance(node, ast.Constant)} - quiet
    return {name for name in names if isinstance(name, str) and EVENT.fullmatch(name)}


def test_every_event_that_the_code_can_tell_a_human_stands_on_the_page() -> None:
    paths = [path for floor in ("ops", "ai_brain", "src/trading") for path in (ROOT / floor).rglob("*.py")]
    texts = [path.read_text() for path in paths if path.name != "messages.py"]  # its tables are held to the page above
    told = set().union(*(loud_events(text) for text in texts if LOUD.search(text)))
    assert len(told) > 45
    assert {name for name in told if name not in PAGE} == set()
    assert told - WORDS.keys() == {"messages.refused"}, "it would be told in the words of the journal"


def alarms(text: str) -> set[str]:
    """Events that a module tells as alerts, by the name that stands in the call."""
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    alarming = (call for call in calls if any("Severity.ALERT" in ast.unparse(one) for one in call.args))
    first = (part for call in alarming for part in ast.walk(call) if isinstance(part, ast.Constant))
    return {part.value for part in first if isinstance(part.value, str) and EVENT.fullmatch(part.value)}


def test_every_alert_has_an_end() -> None:
    ended = names_that_end() | {"stop.seen", "stop.stands"}  # by the key `stop`
    resolved = {"data.failing": "ops/service/due_bars.py", "messages.stuck": "ops/telling/delivery.py"}
    resolved["state.lies_aside"] = "ops/service/lasting.py"
    resolved["messages.refused"] = "src/trading/notify/outbox.py"
    assert all(".resolve(" in (ROOT / path).read_text() for path in resolved.values())
    paths = [path for floor in ("ops", "ai_brain", "src/trading") for path in (ROOT / floor).rglob("*.py")]
    told = set().union(*(alarms(path.read_text()) for path in paths))
    assert len(told) > 15
    assert told - ended - set(resolved) == set(), (
        "it would be repeated for ever: say in ENDS what ends it, or notice it"
    )


def test_every_alert_has_words_of_its_own() -> None:
    paths = [path for floor in ("ops", "ai_brain", "src/trading") for path in (ROOT / floor).rglob("*.py")]
    told = set().union(*(alarms(path.read_text()) for path in paths)) | {"risk.not_flat", "risk.flat", "carry.unwound"}
    assert told - set(WORDS) == set()


def test_the_look_for_loud_events_knows_loud_from_quiet() -> None:
    text = """
self.tell("carry.booked", facts, Severity.INFO)
self.tell("carry.opened", facts, Severity.NOTICE)
publish(Event(now, "job.failed", facts))
name = "risk.flat" if flat else "risk.not_flat"
self.tell(name, facts, Severity.ALERT)
read("lab.yaml")
"""
    assert loud_events(text) == {"carry.opened", "risk.flat", "risk.not_flat"}


def test_every_alert_of_the_watchman_stands_on_the_page() -> None:
    script = (ROOT / "monitor_bot.sh").read_text(encoding="utf-8")
    told = set(re.findall(r"AI Trading Lab: (?:\$\{?\w+[^} ]*\}? )?([a-zA-Z][^\".,;:$]*[a-zA-Z])", script))
    assert len(told) > 4
    assert {words for words in told if words not in PAGE} == set()
