"""What the gate says of the library of published effects on the recorded markets: `docs/library-effects.md`.

`python -m benchmarks.library_effects [--folder DIR] [--json FILE] [--page FILE]`

One ledger for all markets, so that every verdict counts all effects on all of them; costs as paper trading has them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ai_brain.campaign import campaign
from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.page import headline
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.verdict import RECORD, VAULT, WALK_FORWARD, Evidence
from ai_brain.learning_db import LearningDb
from ai_brain.research_library import library_specs
from benchmarks.evidence_verdict import DATA
from ops.universe.known_rules import rules_for
from trading.domain.clock import Clock, iso
from trading.domain.instrument import Market
from trading.market.beside import shared_stretch
from trading.market.importers import import_recorded
from trading.strategy.spec import StrategySpec

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def main() -> None:
    """Judge, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DATA, help="of recorded Parquet files")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--page", type=Path, help="write the Markdown table there")
    given = parser.parse_args()
    found = {symbol: [told(evidence) for evidence in row] for symbol, row in judged(given.folder).items()}
    line = json.dumps(found, sort_keys=True)
    if given.json:
        given.json.write_text(line + "\n")
    if given.page:
        given.page.write_text(page(found))
    print(line)


def judged(folder: Path) -> dict[str, list[Evidence]]:
    """The evidence of every effect on every market, in the order of the library."""
    found = dict[str, list[Evidence]]()
    with TemporaryDirectory() as home, closing(LearningDb(Path(home) / "ledger.db")) as db:
        bench = Bench.of(db, Clock(), GateSettings(), origin="benchmark")
        for symbol in SYMBOLS:
            spot, perp = (import_recorded(folder, market, symbol, "1h") for market in (Market.SPOT, Market.PERP))
            specs = library_specs(symbol, perp.start_ms)
            rules = [spec for spec in specs if not _is_carry(spec)]
            alone = Tapes(perp, Conditions(rules_for(rules[0])))
            of_rules = {j.evidence.spec_id: j.evidence for j in campaign(rules, alone, bench).judgements}
            both, beside = shared_stretch(perp, spot)
            for spec in specs:
                if _is_carry(spec):
                    pair = Tapes(both, Conditions(rules_for(spec)), beside)
                    of_rules |= {j.evidence.spec_id: j.evidence for j in campaign([spec], pair, bench).judgements}
            found[symbol] = [of_rules[spec.id] for spec in specs]
    return found


def _is_carry(spec: StrategySpec) -> bool:
    return str(spec.type) == "funding_carry"


def told(evidence: Evidence) -> dict[str, Any]:
    """What the table shows of one verdict."""
    stretches = {name: evidence.stretch(name) for name in ("search", WALK_FORWARD, VAULT, RECORD)}
    return {
        "effect": evidence.name,
        "market": evidence.market,
        "from": iso(evidence.data[-1].start_ms)[:10],
        "to": iso(evidence.data[-1].end_ms)[:10],
        "verdict": str(evidence.verdict),
        "deciding": str(evidence.deciding or ""),
        "headline": headline(evidence),
        "trials": evidence.statistics.trials if evidence.statistics else None,
        "deflated_sharpe": evidence.statistics.deflated_sharpe if evidence.statistics else None,
        **{
            name: None if s is None else {"net_return": s.net_return, "sharpe": s.sharpe_annual, "trades": s.trades}
            for name, s in stretches.items()
        },
    }


def page(found: dict[str, list[dict[str, Any]]]) -> str:
    """The table a person reads."""
    lines = [
        "# The library's effects on recorded markets",
        "",
        "Published effects, written as their sources tell them, before the whole gate as it is delivered, at the",
        "costs of paper trading (0.1 % taker fee, half spread, impact; a carry on both legs). One ledger counts all of",
        "them on all three markets. Written by `python -m benchmarks.library_effects --page FILE`.",
        "",
        *(f"- {symbol}: perpetual, {rows[0]['from']} to {rows[0]['to']}, hours" for symbol, rows in found.items()),
        "",
        "In each cell: verdict and what decided it; net return, annual Sharpe ratio and trades of the search stretch",
        "(oldest 40 %), and of what came after it: walk-forward, with the vault where it was opened.",
        "",
        "| effect | " + " | ".join(found) + " |",
        "|---" * (len(found) + 1) + "|",
    ]
    table = zip(*found.values(), strict=True)
    lines += [f"| {rows[0]['effect']} | " + " | ".join(_cell(row) for row in rows) + " |" for rows in table]
    approved = sum(row["verdict"] == "APPROVED" for rows in found.values() for row in rows)
    total = sum(len(rows) for rows in found.values())
    return "\n".join([*lines, "", f"{approved} of {total} were approved.", "", *_deciding(found)]) + "\n"


def _cell(row: dict[str, Any]) -> str:
    parts = [f"**{row['verdict']}** {row['deciding']}".strip()]
    for name, stretch in (("search", row["search"]), ("after", row[WALK_FORWARD])):
        if stretch is not None:
            parts.append(f"{name} {stretch['net_return']:+.1%}, {stretch['sharpe']:.2f}, n = {stretch['trades']}")
    return "<br>".join(parts)


def _deciding(found: dict[str, list[dict[str, Any]]]) -> Sequence[str]:
    lines = ["## What decided", ""]
    for symbol, rows in found.items():
        lines += [f"### {symbol}", "", *(f"- {row['effect']}: {row['headline']}" for row in rows), ""]
    return lines[:-1]


if __name__ == "__main__":
    main()
