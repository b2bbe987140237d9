"""Where evidence lies: `state/evidence/ID.json` for people and programs, beside it the tables to follow it to bars.

`ID.trades.csv` holds the trades of the judged stretches, `ID.settlements.csv` a carry's funding, `ID.curve.csv` the
equity of everything that was looked at.
Evidence is never overwritten by other evidence: an older file of the same strategy moves to `ID.HASH.json`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from ai_brain.evidence.verdict import Evidence
from trading.storage.checked import read_checked
from trading.storage.files import sync_folder, write_atomic, write_json
from trading.storage.home import Home

EVIDENCE_SCHEMA = 1
_EVIDENCE = TypeAdapter(Evidence)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Evidence and the trades it rests on."""

    evidence: Evidence
    trades_csv: bytes
    """Every trade of the judged stretches, those left open too; empty when there was none."""
    settlements_csv: bytes = b""
    """Every settlement a carry met on the judged stretches; empty when there was none."""
    curve_csv: bytes = b""
    """Equity bar by bar, search to vault; empty when nothing after the search was earned."""

    @property
    def tables(self) -> dict[str, bytes]:
        """Every table by its name, as in `ID.NAME.csv`; those with a line."""
        named = {"trades": self.trades_csv, "settlements": self.settlements_csv, "curve": self.curve_csv}
        return {name: content for name, content in named.items() if content}


def evidence_folder(home: Home) -> Path:
    """`state/evidence`."""
    return home.state / "evidence"


def save_evidence(home: Home, judgement: Judgement) -> Path:
    """Write the evidence of a spec and its trades; the trades first, so that a file never names trades not there.

    Returns:
        `state/evidence/ID.json`.

    Raises:
        StateFileError: the folder cannot be written to.
    """
    evidence = judgement.evidence
    folder = evidence_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{evidence.spec_id}.json"
    _keep_older(path, evidence.evidence_sha256)
    for table, content in judgement.tables.items():
        write_atomic(folder / f"{evidence.spec_id}.{table}.csv", content)
    write_json(path, evidence.to_json(), schema=EVIDENCE_SCHEMA)
    return path


def load_evidence(home: Home, spec_id: str) -> Evidence | None:
    """The latest evidence of a spec; None: it was never judged.

    Raises:
        StateFileError: the file is no evidence; it has been set aside.
    """
    return _read(evidence_folder(home) / f"{spec_id}.json")


def tables_match(home: Home, evidence: Evidence) -> bool:
    """Whether the tables beside the evidence are still, byte for byte, what it was judged on."""
    folder = evidence_folder(home)
    for table, expected in table_hashes(evidence).items():
        path = folder / f"{evidence.spec_id}.{table}.csv"
        if expected is None:
            continue
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            return False
    return True


def table_hashes(evidence: Evidence) -> dict[str, str | None]:
    """SHA-256 of the tables beside it by their names, hex; None: it has no such table."""
    return {
        "trades": evidence.trades_sha256,
        "settlements": evidence.settlements_sha256,
        "curve": evidence.curve_sha256,
    }


def _read(path: Path) -> Evidence | None:
    return read_checked(path, _EVIDENCE, schema=EVIDENCE_SCHEMA, mend="evaluate it again")


def _keep_older(path: Path, new_sha256: str) -> None:
    older = _read(path)
    if older is None or older.evidence_sha256 == new_sha256:
        return
    stamp = older.evidence_sha256[:12]
    for table in table_hashes(older):
        if (beside := path.with_name(f"{path.stem}.{table}.csv")).exists():
            beside.rename(path.with_name(f"{path.stem}.{stamp}.{table}.csv"))
    path.rename(path.with_name(f"{path.stem}.{stamp}.json"))
    sync_folder(path.parent)
