"""`./lab evidence`: the page of a judged strategy, from its files; as text, or as one HTML file with charts."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

from ai_brain.evidence.curve import read_curve
from ai_brain.evidence.filing import evidence_folder, load_evidence, table_hashes
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.page_html import evidence_html
from ai_brain.evidence.run_tables import read_trades
from ai_brain.evidence.verdict import Evidence
from ops.environment import find_home
from trading.domain.errors import SpecError, StateFileError
from trading.storage.files import write_atomic
from trading.storage.home import Home
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec, spec_sha256


def run_evidence(wanted: str, html: Path | None) -> int:
    """Print the page of a strategy, or write it as HTML and print where.

    Returns:
        0; 1: a file is not the one that its evidence, or its history, names by hash. Nothing is shown then.

    Raises:
        SpecError: unknown, or never judged.
        StateFileError: a file of it makes no sense, or the page cannot be written.
    """
    home = find_home()
    spec = StrategyRepository(home.strategies, repair=False).get(wanted)
    evidence = load_evidence(home, spec.id)
    if evidence is None:
        raise SpecError(f"{spec.id}: no evidence in {evidence_folder(home)}: it was never judged; there is no page")
    tables = tables_of(home, evidence)
    if found := unlike(spec, evidence, tables):
        print(f"lab: {spec.id}: not as judged: {', '.join(found)}; let it be judged anew", file=sys.stderr)
        return 1
    if html is None:
        print(evidence_markdown(evidence), end="")
        return 0
    curve = read_curve(tables["curve"]) if evidence.curve_sha256 is not None else None
    page = evidence_html(evidence, curve, read_trades(tables["trades"]))
    write_atomic(html, page.encode())
    print(html)
    return 0


def tables_of(home: Home, evidence: Evidence) -> dict[str, bytes]:
    """The tables as they lie there, read once; one that is not there, or that the evidence has not: no bytes.

    Raises:
        StateFileError: one cannot be read.
    """
    found = dict[str, bytes]()
    for table, expected in table_hashes(evidence).items():
        path = evidence_folder(home) / f"{evidence.spec_id}.{table}.csv"
        try:
            found[table] = b"" if expected is None else path.read_bytes()
        except FileNotFoundError:
            found[table] = b""
        except OSError as error:
            raise StateFileError(f"{path}: cannot be read: {error.strerror}; check permissions") from error
    return found


def unlike(spec: StrategySpec, evidence: Evidence, tables: Mapping[str, bytes]) -> list[str]:
    """Files that are not what a hash says they are."""
    found = list[str]()
    if evidence.spec_sha256 != spec_sha256(spec):
        found.append("the strategy file (other parameters)")
    signed = [move.evidence_sha256 for move in spec.history if move.evidence_sha256]
    if signed and evidence.evidence_sha256 not in signed:
        found.append(f"{spec.id}.json (not the one in its history)")
    for table, expected in table_hashes(evidence).items():
        if expected is not None and hashlib.sha256(tables[table]).hexdigest() != expected:
            found.append(f"{spec.id}.{table}.csv ({'another' if tables[table] else 'missing or empty'})")
    return found
