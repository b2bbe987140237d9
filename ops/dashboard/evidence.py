"""`python -m ops.dashboard.evidence HOME ID`: the page of a judged strategy on standard output, nothing written.

In a process of its own: what draws the charts takes more memory than the whole page, and is needed once in a while.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ops.object_file import read_object
from trading.domain.errors import SpecError, StateFileError, TradingEngineError
from trading.domain.first_fault import first_fault
from trading.storage.home import Home
from trading.strategy.repository import StrategyRepository

if TYPE_CHECKING:
    from ai_brain.evidence.verdict import Evidence


def main() -> int:
    """Print it; 1 with one line on standard error where there is none."""
    try:
        sys.stdout.write(document(Home(Path(sys.argv[1])), sys.argv[2]))
    except TradingEngineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def document(home: Home, strategy_id: str) -> str:
    """The page as HTML.

    Raises:
        SpecError: unknown, or never judged.
        StateFileError: a file of it makes no sense, or is not the one that its evidence, or its history, names by hash.
    """
    spec = StrategyRepository(home.strategies, repair=False).get(strategy_id)

    from ai_brain.evidence.curve import read_curve  # seconds of imports, and only for who was judged
    from ai_brain.evidence.page_html import evidence_html
    from ai_brain.evidence.run_tables import read_trades
    from ops.judgement.evidence_page import tables_of, unlike

    evidence = _evidence(home, spec.id)
    tables = tables_of(home, evidence)
    if found := unlike(spec, evidence, tables):
        raise StateFileError(f"{spec.id}: not as judged: {', '.join(found)}; let it be judged anew")
    curve = read_curve(tables["curve"]) if evidence.curve_sha256 is not None else None
    return evidence_html(evidence, curve, read_trades(tables["trades"]))


def _evidence(home: Home, strategy_id: str) -> Evidence:
    """As it lies there: whoever only looks sets nothing aside."""
    from ai_brain.evidence.filing import evidence_folder
    from ai_brain.evidence.verdict import Evidence

    path, problems = evidence_folder(home) / f"{strategy_id}.json", list[str]()
    data = read_object(path, problems)
    if problems:
        raise StateFileError(problems[0])
    if not data:
        raise SpecError(f"{strategy_id}: it was never judged; there is no page")
    data.pop("schema", None)
    try:
        return Evidence.model_validate(data)
    except ValidationError as error:
        raise StateFileError(f"{path}: {first_fault(error)}; let it be judged anew") from error


if __name__ == "__main__":
    sys.exit(main())
