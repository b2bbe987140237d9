"""The table, the drawing and the code are one."""

from __future__ import annotations

from pathlib import Path

from trading.execution.saga_table import ENDS, TABLE, SagaState, saga_diagram, saga_markdown

DOC = Path(__file__).resolve().parents[3] / "docs" / "live-carry.md"


def test_every_state_is_in_the_table_and_leads_to_an_end() -> None:
    assert set(TABLE) == set(SagaState)
    reached = set(ENDS)
    while True:
        more = {state for state, row in TABLE.items() if row.to & reached} - reached
        if not more:
            break
        reached |= more
    assert reached == set(SagaState)


def test_every_state_has_a_timed_way_out_or_is_an_end() -> None:
    assert all(row.way_out != "-" for state, row in TABLE.items() if row.to)
    assert {state for state, row in TABLE.items() if not row.to} <= ENDS


def test_the_drawing_in_the_document_is_the_code() -> None:
    text = DOC.read_text(encoding="utf-8")
    for name, code in (("saga", saga_markdown()), ("saga drawing", saga_diagram())):
        begin = f"<!-- {name} -->\n"
        drawn = text[text.index(begin) + len(begin) : text.index(f"<!-- /{name} -->")]
        assert drawn == code, f"paste what the code writes for {name}"
