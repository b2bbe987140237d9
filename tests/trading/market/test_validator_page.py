"""The table of rules in `docs/validator.md` is the code's; `LAB_WRITE_DOCS=1` writes it anew."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.validator_faults import FAULTS
from trading.market.checks.rules import RULES, Action, Rule, RuleId
from trading.market.validator_rules import ValidatorSettings

PAGE = Path(__file__).parents[3] / "docs" / "validator.md"
HEAD = "| rule | looks at | what breaks it | limit | severity | quality | stops | caught within | what it asks of you |"
STOPS = {Action.WARN: "nothing", Action.BLOCK_ORDERS: "orders", Action.BLOCK_RESEARCH: "research and orders"}


def limit(rule: Rule) -> str:
    """The default of the setting, or what the rule says in words."""
    fields = ValidatorSettings.model_fields
    if rule.limit not in fields:
        return rule.limit
    return f"{fields[rule.limit].default:g} {'' if rule.limit == 'spike_scales_max' else rule.unit} (`{rule.limit}`)"


def row(name: RuleId, rule: Rule) -> str:
    """One line of the table."""
    looks = "1 look" if rule.within == 1 else f"{rule.within} looks"
    cells = (
        f"`{name}`", rule.subject, rule.what, limit(rule).replace("  ", " "), rule.severity, f"-{rule.penalty}",
        STOPS[rule.action], looks, rule.asks,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def test_the_table_of_rules_in_the_documents_is_the_codes():
    table = [HEAD, "|" + "---|" * HEAD.count(" | ") + "---|", *(row(name, RULES[name]) for name in RuleId)]
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index(HEAD)
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    if os.environ.get("LAB_WRITE_DOCS"):
        lines[start:end] = table
        PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        assert lines[start:end] == table


def test_every_rule_is_in_the_table_of_rules_and_has_an_injected_fault():
    assert set(RULES) == set(RuleId) == {fault.rule for fault in FAULTS}


def test_every_setting_of_the_validator_is_a_limit_of_some_rule_or_told_in_the_page():
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in ValidatorSettings.model_fields if f"`{name}`" not in page] == []
