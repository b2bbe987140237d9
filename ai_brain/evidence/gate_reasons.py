"""The questions of the gate by name, and what kind each is."""

from __future__ import annotations

from enum import StrEnum


class GateReason(StrEnum):
    """Which question was asked; written to files and messages, never reworded."""

    # asked before any performance is computed: costs no trial
    ALREADY_REFUSED = "ALREADY_REFUSED"
    DUPLICATE = "DUPLICATE"
    DATA_MISSING = "DATA_MISSING"
    DATA_TOO_SHORT = "DATA_TOO_SHORT"
    TOO_COMPLEX = "TOO_COMPLEX"
    TOO_FEW_SIGNALS = "TOO_FEW_SIGNALS"
    MOVE_BELOW_COST = "MOVE_BELOW_COST"
    NOTHING_PROVABLE = "NOTHING_PROVABLE"
    # asked of the search stretch
    NO_TRADES = "NO_TRADES"
    LOST_ON_SEARCH = "LOST_ON_SEARCH"
    WEAK_ON_SEARCH = "WEAK_ON_SEARCH"
    # asked of the chain of judged stretches
    TOO_FEW_TRADES = "TOO_FEW_TRADES"
    TOO_FEW_SETTLEMENTS = "TOO_FEW_SETTLEMENTS"
    LOST_ON_VALIDATION = "LOST_ON_VALIDATION"
    LIQUIDATED = "LIQUIDATED"
    ONE_LUCKY_MONTH = "ONE_LUCKY_MONTH"
    LOST_AT_DOUBLE_COST = "LOST_AT_DOUBLE_COST"
    LOST_ONE_BAR_LATE = "LOST_ONE_BAR_LATE"
    FRAGILE_PARAMETERS = "FRAGILE_PARAMETERS"
    LIQUIDATED_IN_STRESS = "LIQUIDATED_IN_STRESS"
    OVERFITTED_SEARCH = "OVERFITTED_SEARCH"
    NO_BETTER_THAN_LUCK = "NO_BETTER_THAN_LUCK"
    # asked of the vault, and of the whole record with it
    VAULT_SPENT = "VAULT_SPENT"
    NOT_CONFIRMED = "NOT_CONFIRMED"
    TRACK_RECORD_TOO_SHORT = "TRACK_RECORD_TOO_SHORT"
    DEFLATED_SHARPE_LOW = "DEFLATED_SHARPE_LOW"
    # a bug until proven otherwise
    EQUITY_IDENTITY = "EQUITY_IDENTITY"
    FUNDING_MISMATCH = "FUNDING_MISMATCH"
    SHARPE_IMPLAUSIBLE = "SHARPE_IMPLAUSIBLE"
    RETURN_IMPLAUSIBLE = "RETURN_IMPLAUSIBLE"
    DRAWDOWN_IMPLAUSIBLE = "DRAWDOWN_IMPLAUSIBLE"
    WIN_RATE_IMPLAUSIBLE = "WIN_RATE_IMPLAUSIBLE"
    # the test itself failed
    ERROR = "ERROR"


CHEAP = frozenset(
    {
        GateReason.ALREADY_REFUSED,
        GateReason.DUPLICATE,
        GateReason.DATA_MISSING,
        GateReason.DATA_TOO_SHORT,
        GateReason.TOO_COMPLEX,
        GateReason.TOO_FEW_SIGNALS,
        GateReason.MOVE_BELOW_COST,
        GateReason.NOTHING_PROVABLE,
    }
)
"""Refusals that cost no trial: no performance was computed."""

OF_ITS_WORDING_OR_SIZE = CHEAP | {GateReason.NO_TRADES, GateReason.LIQUIDATED}
"""Refusals that say nothing of whoever does the same in fewer words, in another size or with less leverage."""

NOT_THE_IDEAS_FAULT = frozenset(
    {
        GateReason.ALREADY_REFUSED,
        GateReason.DUPLICATE,
        GateReason.DATA_MISSING,
        GateReason.DATA_TOO_SHORT,
        GateReason.NOTHING_PROVABLE,
        GateReason.VAULT_SPENT,
        GateReason.ERROR,
    }
)
"""Refusals that bury nothing: with other data, or a bug mended, the same idea may be judged again."""

WANT_OF_BARS = frozenset({GateReason.DATA_MISSING, GateReason.DATA_TOO_SHORT, GateReason.NOTHING_PROVABLE})
"""Of them, those that the same bars give again."""

FOR_GOOD = frozenset({GateReason.ALREADY_REFUSED, GateReason.VAULT_SPENT})
"""Of them, those for which nobody waits: it was judged before, or one like it was. A twin waits for the verdict of the
one that was looked at: where that one was refused for its size alone, the twin is judged after all."""

QUARANTINE = frozenset(
    {
        GateReason.EQUITY_IDENTITY,
        GateReason.FUNDING_MISMATCH,
        GateReason.SHARPE_IMPLAUSIBLE,
        GateReason.RETURN_IMPLAUSIBLE,
        GateReason.DRAWDOWN_IMPLAUSIBLE,
        GateReason.WIN_RATE_IMPLAUSIBLE,
    }
)
"""Too good to be true: a bug until proven otherwise."""

ONLY_CAUTION = frozenset({GateReason.LOST_ONE_BAR_LATE, GateReason.FRAGILE_PARAMETERS})
"""Findings that make a strategy fragile without refusing it. (A deflated Sharpe may be either, by its value.)"""
