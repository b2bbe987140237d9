"""What the page says of the search, the hard stretches, the vault and the whole record, in plain words."""

from __future__ import annotations

from ai_brain.evidence.gate_reasons import CHEAP, ONLY_CAUTION, GateReason
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.page_significance import QUESTIONS
from ai_brain.evidence.verdict import Confirmation, Evidence, Finding, Stretch, Verdict

CONFIRMED = Confirmation(
    opening=3,
    opened_ms=1_700_000_000_000,
    family="a" * 64,
    p_value=0.0021,
    p_value_now=0.0021,
    level=0.0219,
    place=2,
    confirmed=True,
)


def asked(*reasons: GateReason, refused: GateReason | None = None) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            reason=reason,
            passed=reason is not refused,
            refuses=reason not in ONLY_CAUTION,
            value=1.0,
            limit=2.0,
            note="Words.",
        )
        for reason in reasons
    )


def renamed(evidence: Evidence, *names: tuple[str, int]) -> tuple[Stretch, ...]:
    return tuple(evidence.stretches[0].model_copy(update={"name": name, "bars": bars}) for name, bars in names)


def test_the_vault_is_told_with_its_opening_its_p_value_its_level_and_its_place(evidence: Evidence) -> None:
    own = CONFIRMED.model_copy(update={"family": evidence.spec_sha256})
    page = evidence_markdown(evidence.model_copy(update={"confirmation": own}))
    for words in (
        "- opening 3 of the vault's book, written down 2023-11-14T22:13:20Z, then read",
        "- the first of its family",
        "confirmed with p = 0.0021 at a level of 0.0219, as candidate 2 of all ever.",
    ):
        assert words in page
    assert "stood already" not in page


def test_another_family_a_standing_answer_and_a_refusal_of_the_stream_are_said(evidence: Evidence) -> None:
    stood = CONFIRMED.model_copy(update={"family": "b" * 64, "p_value_now": 0.5, "confirmed": False})
    page = evidence_markdown(evidence.model_copy(update={"confirmation": stood}))
    assert "- of the family of spec bbbbbbbbbbbb, whose returns went with its own" in page
    assert "**not confirmed** with p = 0.0021" in page
    assert "- that answer stood already: a spec is answered once; on this tape p is 0.5" in page


def test_a_vault_that_stayed_shut_has_no_section(evidence: Evidence) -> None:
    assert "## The vault" not in evidence_markdown(evidence)


def test_what_the_first_refusal_left_open_is_told_in_the_order_of_the_gate(evidence: Evidence) -> None:
    refused = evidence.model_copy(
        update={
            "verdict": Verdict.REJECTED,
            "deciding": GateReason.LOST_AT_DOUBLE_COST,
            "findings": asked(
                GateReason.NO_TRADES,
                GateReason.LOST_ON_VALIDATION,
                GateReason.LOST_AT_DOUBLE_COST,
                refused=GateReason.LOST_AT_DOUBLE_COST,
            ),
        }
    )
    assert (
        "## What was not asked\n\nThe first refusal ends the questions, so the rest was not looked at:\n\n"
        "- whether it is better than luck before the vault, all ideas counted\n"
        "- the vault, which answers once, and with it the whole record\n"
    ) in evidence_markdown(refused)


def test_a_fragile_one_is_told_that_the_vault_stayed_shut_and_who_answered_all_is_told_nothing(
    evidence: Evidence,
) -> None:
    fragile = evidence.model_copy(
        update={
            "verdict": Verdict.CAUTION,
            "findings": asked(
                *(reason for reason, _ in QUESTIONS[:-1]),
                GateReason.LOST_ONE_BAR_LATE,
                refused=GateReason.LOST_ONE_BAR_LATE,
            ),
        }
    )
    assert (
        "The vault is opened only for what every answer so far speaks for, so the rest was not looked at:\n\n"
        "- the vault, which answers once, and with it the whole record\n"
    ) in evidence_markdown(fragile)
    every = asked(*(reason for reason, _ in QUESTIONS))
    for told in (fragile.model_copy(update={"findings": every}), evidence):
        assert "What was not asked" not in evidence_markdown(told)


def test_the_questions_are_none_of_those_that_cost_no_trial() -> None:
    assert not {reason for reason, _ in QUESTIONS} & CHEAP
