"""May this be traded on? May it be researched on? Pure functions over bars, quotes, books, funding, tapes, instruments.

The door to the validator: the rules are the table in `checks/rules.py`, each file beside it looks at one thing, and
thresholds are `ValidatorSettings`. Moves are measured against the earlier price. The jump rule allows `jump_max_pct` in
one minute; prices n minutes apart may differ by sqrt(n) times that, as a random walk does, up to `jump_cap_pct`.
"""

from __future__ import annotations

from trading.market.checks.bar import NOTHING_SEEN, Seen, repeats_bar, validate_bar, validate_revision
from trading.market.checks.book import validate_book
from trading.market.checks.funding import (
    MissingSettlements,
    missing_settlements,
    validate_funding,
    validate_settlements,
)
from trading.market.checks.history import (
    BarFinding,
    bar_at,
    longest_run,
    recent_at,
    scan_funding,
    scan_tape,
    validate_provenance,
    validate_tape,
)
from trading.market.checks.instrument import validate_instrument
from trading.market.checks.moves import RECENT, Recent
from trading.market.checks.quote import Beside, ClockReading, validate_clock, validate_quote
from trading.market.validator_rules import ValidatorSettings, Verdict

__all__ = [
    "NOTHING_SEEN",
    "RECENT",
    "BarFinding",
    "Beside",
    "ClockReading",
    "FailureRow",
    "MissingSettlements",
    "Recent",
    "Seen",
    "ValidatorSettings",
    "Verdict",
    "bar_at",
    "longest_run",
    "missing_settlements",
    "recent_at",
    "repeats_bar",
    "scan_funding",
    "scan_tape",
    "validate_bar",
    "validate_book",
    "validate_clock",
    "validate_funding",
    "validate_instrument",
    "validate_provenance",
    "validate_quote",
    "validate_revision",
    "validate_settlements",
    "validate_tape",
]


class FailureRow:
    """Counts failures in a row; more than the setting allows is an alert of its own, told once a row."""

    def __init__(self, settings: ValidatorSettings) -> None:
        self._limit = settings.failures_in_row_max
        self.count = 0

    def note(self, *, failed: bool) -> bool:
        """Note one look at the data. True: this failure is the one that makes it an alert."""
        self.count = self.count + 1 if failed else 0
        return self.count == self._limit + 1
