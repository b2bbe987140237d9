"""The table, the drawing and the code are one; `LAB_WRITE_DOCS=1` writes both anew."""

from __future__ import annotations

import os
from pathlib import Path

from trading.execution.saga_table import ENDS, TABLE, SagaState

DOC = Path(__file__).resolve().parents[3] / "docs" / "live-carry.md"


def table() -> str:
    """One row a state."""
    lines = ["| state | does | next | timed way out |", "|---|---|---|---|"]
    for state, row in TABLE.items():
        following = ", ".join(sorted(row.to)) or "-"
        lines.append(f"| `{state}` | {row.does} | {following} | {row.way_out} |")
    return "\n".join(lines) + "\n"


def diagram() -> str:
    """The moves as a Mermaid state diagram."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {SagaState.PREFLIGHT}"]
    for state, row in TABLE.items():
        lines += [f"    {state} --> {following}" for following in sorted(row.to)]
        lines += [] if row.to else [f"    {state} --> [*]"]
    return "\n".join([*lines, "```"]) + "\n"


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
    for name, code in (("saga", table()), ("saga drawing", diagram())):
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, rest = text.split(begin)
        drawn, after = rest.split(end)
        text = before + begin + code + end + after
        if os.environ.get("LAB_WRITE_DOCS"):
            DOC.write_text(text, encoding="utf-8")
            drawn = code
        assert drawn == code, "LAB_WRITE_DOCS=1 writes it"
