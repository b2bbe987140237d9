"""The table of what breaks a hedge: the page, the code and the settings are one; `LAB_WRITE_DOCS=1` writes it anew."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trading.funding.hedge_settings import HedgeSettings
from trading.funding.hedge_watch import REASONS, Consequence, HedgeId

DOC = Path(__file__).resolve().parents[3] / "docs" / "live-carry.md"
BEGIN, END = "<!-- hedge -->\n", "<!-- /hedge -->"


@dataclass(frozen=True, slots=True)
class HedgeRow:
    """One finding."""

    reads: str
    """What is read, and how often."""
    lines: Mapping[Consequence, str]
    """From where on what follows; a name in braces is a field of `HedgeSettings`."""


TABLE: Mapping[HedgeId, HedgeRow] = {
    HedgeId.ADL_RANK: HedgeRow(
        "`adlQuantile` of the short, every cycle while it is held",
        {Consequence.TOLD: "from {adl_told_quantile} of 4", Consequence.LEAVE: "from {adl_leave_quantile}: never"},
    ),
    HedgeId.FORCED_CLOSE: HedgeRow(
        "`forceOrders` since it was opened, every cycle; the account's stream, at once",
        {Consequence.FLAT: "any"},
    ),
    HedgeId.LIQUIDATION_NEAR: HedgeRow(
        "`positionRisk`, every cycle while it is held",
        {
            Consequence.TOLD: "nearer than {liquidation_told_pct} %",
            Consequence.LEAVE: "than `carry.min_liquidation_pct`",
            Consequence.FLAT: "than {liquidation_flat_pct} %",
        },
    ),
    HedgeId.SYMBOL_STATUS: HedgeRow(
        "`exchangeInfo` of both markets, every {slow_s} s",
        {
            Consequence.NO_ENTRY: "either leg does not trade, or is not listed",
            Consequence.FLAT: "the contract is being settled or delivered",
        },
    ),
    HedgeId.DELIVERY_SET: HedgeRow(
        "`deliveryDate` of the perpetual, nearer than 2100; spot's `delist-schedule`",
        {
            Consequence.NO_ENTRY: "any",
            Consequence.LEAVE: "within {delivery_leave_days} days",
            Consequence.FLAT: "within {delivery_flat_h} h",
        },
    ),
    HedgeId.TERMS_CHANGED: HedgeRow(
        "`fundingInfo`: interval, cap, floor, against those last known, also before a restart",
        {Consequence.NO_ENTRY: "for {terms_quiet_h} h"},
    ),
    HedgeId.QUOTE_DEPEG: HedgeRow(
        "the exchange's USDCUSDT book and Kraken's USDT/USD, every {slow_s} s",
        {
            Consequence.NO_ENTRY: "{depeg_entry_pct} % off, by either",
            Consequence.LEAVE: "{depeg_leave_pct} % off to one side, by both",
        },
    ),
    HedgeId.SOURCE_SILENT: HedgeRow(
        "any of these, not answered",
        {Consequence.TOLD: "for {silent_told_s} s", Consequence.NO_ENTRY: "for {silent_s} s, or never yet"},
    ),
}


def written(settings: HedgeSettings) -> str:
    """The table with the limits of these settings."""
    columns = list(Consequence)
    head = ["finding", "reason", "read", *(f"`{consequence.name}`" for consequence in columns)]
    rows = [head]
    numbers = {name: f"{value:g}" for name, value in settings.model_dump().items() if not isinstance(value, str)}
    for found, row in TABLE.items():
        follows = [row.lines.get(consequence, "-").format(**numbers) for consequence in columns]
        rows.append([f"`{found}`", f"`{REASONS[found]}`", row.reads.format(**numbers), *follows])
    lines = [f"| {' | '.join(cells)} |\n" for cells in rows]
    return "".join([lines[0], "|---" * len(head) + "|\n", *lines[1:]])


def test_every_finding_is_in_the_table_and_every_limit_is_read_by_one() -> None:
    assert set(TABLE) == set(HedgeId) == set(REASONS)
    text = " ".join([row.reads for row in TABLE.values()] + [w for row in TABLE.values() for w in row.lines.values()])
    assert set(re.findall(r"{(\w+)}", text)) == set(HedgeSettings.model_fields) - {"second_source"}


def test_the_page_has_the_table() -> None:
    text = DOC.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    drawn, after = rest.split(END)
    table = written(HedgeSettings())
    if os.environ.get("LAB_WRITE_DOCS"):
        DOC.write_text(before + BEGIN + table + END + after, encoding="utf-8")
        drawn = table
    assert drawn == table, "LAB_WRITE_DOCS=1 writes it"
