"""The table of rules: complete, asked, and the same as on its page."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trading.risk.test_guards import BOOK, LIMITS, NOW, WANTED
from trading.domain.decisions import Decision, Reason
from trading.risk.breakers import readings
from trading.risk.guards import allowed_notional
from trading.risk.kill_switch import Stop, StopKind
from trading.risk.limits import RiskLimits
from trading.risk.memory import Halt
from trading.risk.pulse import Vitals
from trading.risk.rules import RULES, Kind
from trading.risk.stress import SCENARIOS
from trading.risk.value_at_risk import STRESSED

PAGE = Path(__file__).resolve().parents[3] / "docs" / "risk.md"
OF_THE_BOOKS = (Reason.EQUITY_IDENTITY, Reason.RECONCILE_MISMATCH)
"""Found by reconciling; the guards see them as halts."""


def rules_table() -> str:
    lines = ["| rule | kind | measures | limit in `lab.yaml` |", "|---|---|---|---|"]
    for rule in RULES:
        limits = ", ".join(f"`{name}` {getattr(RiskLimits(), name):g}" for name in rule.settings) or "-"
        lines.append(f"| `{rule.id}` | {rule.kind} | {rule.measures} | {limits} |")
    return "\n".join(lines)


def tail_table() -> str:
    return (
        "| stressed, of one leg | value at risk, 99 % | expected shortfall, 97.5 % |\n|---|---|---|\n"
        f"| {STRESSED.source} | {STRESSED.var_rate:.2%} | {STRESSED.shortfall_rate:.2%} |"
    )


def stress_table() -> str:
    lines = [
        "| scenario | spot alone | basis | funding | rise of the mark | loss at leverage 1 / 2 / 3 | source |",
        "|---|---|---|---|---|---|---|",
    ]
    for s in SCENARIOS:
        parts = [s.naked_fall_rate, s.basis_rate, s.funding_rate, s.rise_rate]
        losses = " / ".join(f"{s.loss_rate(leverage):.2%}" for leverage in (1, 2, 3))
        lines.append(f"| `{s.id}` | {' | '.join(f'{part:.2%}' for part in parts)} | {losses} | {s.source} |")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("mark", "table"),
    [("rules", rules_table()), ("tail", tail_table()), ("stress", stress_table())],
    ids=["rules", "tail", "stress"],
)
def test_the_page_says_what_the_code_does(mark: str, table: str) -> None:
    before, _, rest = PAGE.read_text().partition(f"<!-- {mark} -->\n")
    shown, _, after = rest.partition(f"<!-- /{mark} -->")
    if os.environ.get("LAB_WRITE_DOCS"):
        PAGE.write_text(f"{before}<!-- {mark} -->\n{table}\n<!-- /{mark} -->{after}")
        shown = f"{table}\n"
    assert shown == f"{table}\n"


def test_every_limit_of_the_settings_is_read_by_a_rule() -> None:
    assert {name for rule in RULES for name in rule.settings} == set(RiskLimits.model_fields)
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_every_rule_of_the_table_is_asked_and_nothing_else() -> None:
    asked: set[Reason] = {reading.reason for reading in readings(Vitals(), LIMITS)}
    for stop in (StopKind.KILL, StopKind.STOPPED, StopKind.PAUSED):
        asked |= {d.reason for d in allowed_notional(replace(BOOK, stop=Stop(stop, "x")), LIMITS, WANTED).decisions}
    halts = tuple(Halt(reason, NOW, 1.0, 0.0, "") for reason in OF_THE_BOOKS)
    book = replace(BOOK, memory=replace(BOOK.memory, halts=halts))
    asked |= {d.reason for d in allowed_notional(book, LIMITS, WANTED).decisions}
    asked |= {d.reason for d in allowed_notional(BOOK, LIMITS, replace(WANTED, notional_quote=1)).decisions}
    assert asked - {Reason.OK} == {rule.id for rule in RULES}


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.kind is Kind.BREAKER], ids=lambda rule: rule.id)
def test_an_open_breaker_is_a_size_of_zero_until_it_has_rested(rule: object) -> None:
    reason = rule.id  # type: ignore[attr-defined]
    tripped = (Halt(reason, NOW - 59_000, 9.0, 5.0, "bad"),)
    sized = allowed_notional(replace(BOOK, memory=replace(BOOK.memory, tripped=tripped)), LIMITS, WANTED)
    assert (sized.notional_quote, sized.deciding) == (0, Decision(False, reason, 9.0, 5.0, "bad"))
    rested = (replace(tripped[0], at_ms=NOW - 60_000),)
    assert allowed_notional(replace(BOOK, memory=replace(BOOK.memory, tripped=rested)), LIMITS, WANTED).allowed
