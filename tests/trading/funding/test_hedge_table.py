"""The table of what breaks a hedge: the page, the code and the settings are one."""

from __future__ import annotations

import os
import re
from pathlib import Path

from trading.funding.hedge_settings import HedgeSettings
from trading.funding.hedge_table import TABLE, hedge_markdown
from trading.funding.hedge_watch import (
    REASONS,
    HedgeId,
)

DOC = Path(__file__).resolve().parents[3] / "docs" / "live-carry.md"
BEGIN, END = "<!-- hedge -->\n", "<!-- /hedge -->"


def test_every_finding_is_in_the_table_and_every_limit_is_read_by_one() -> None:
    assert set(TABLE) == set(HedgeId) == set(REASONS)
    text = " ".join([row.reads for row in TABLE.values()] + [w for row in TABLE.values() for w in row.lines.values()])
    assert set(re.findall(r"{(\w+)}", text)) == set(HedgeSettings.model_fields) - {"second_source"}


def test_the_page_has_the_table() -> None:
    text = DOC.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    drawn, after = rest.split(END)
    written = hedge_markdown(HedgeSettings())
    if os.environ.get("LAB_WRITE_DOCS"):
        DOC.write_text(before + BEGIN + written + END + after, encoding="utf-8")
        drawn = written
    assert drawn == written, "LAB_WRITE_DOCS=1 writes it"
