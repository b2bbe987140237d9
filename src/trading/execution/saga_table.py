"""The states of the two-leg saga, the moves between them, and each state's timed way out.

A test keeps the table and the drawing in `docs/live-carry.md` and the code the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class SagaState(StrEnum):
    """Where a saga is."""

    PREFLIGHT = "preflight"
    PAYING = "paying"
    MAKING = "making"
    HEDGING = "hedging"
    TAKING = "taking"
    PAUSING = "pausing"
    RETREATING = "retreating"
    UNWINDING = "unwinding"
    BALANCED = "balanced"
    REFUSED = "refused"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True)
class StateRow:
    """One line of the table."""

    does: str
    to: frozenset[SagaState]
    """Legal next states; empty: the saga has ended."""
    way_out: str
    """What ends the state when nothing else does."""


_S = SagaState

TABLE: Mapping[SagaState, StateRow] = MappingProxyType(
    {
        _S.PREFLIGHT: StateRow(
            "both legs checked together: filters, coarser lot, balances, margin mode and leverage; thinner leg chosen; "
            "a rebalance goes to unwinding at once",
            frozenset({_S.PAYING, _S.MAKING, _S.TAKING, _S.UNWINDING, _S.REFUSED}),
            "any refusal or error: refused, nothing was sent",
        ),
        _S.PAYING: StateRow(
            "the wallet that cannot pay for its leg is given what it lacks from the other",
            frozenset({_S.MAKING, _S.TAKING, _S.REFUSED}),
            "a refusal, or `lookup_budget_s` without knowing: refused; the move is asked for again next cycle",
        ),
        _S.MAKING: StateRow(
            "the thinner leg rests post-only at the best price and is quoted again when the market leaves it",
            frozenset({_S.HEDGING, _S.RETREATING}),
            "`maker_budget_s`, `maker_distance_bps`, a stop, or an error: retreating",
        ),
        _S.HEDGING: StateRow(
            "what filled is hedged at once on the other leg: taker within the cap, then wider, then market",
            frozenset({_S.MAKING, _S.TAKING, _S.PAUSING, _S.RETREATING, _S.BALANCED}),
            "`attempts` or `max_unhedged_s`: retreating, then unwinding",
        ),
        _S.TAKING: StateRow(
            "the rest of the first leg is taken within the cap",
            frozenset({_S.HEDGING, _S.RETREATING}),
            "`attempts`: retreating, and what is there is kept even",
        ),
        _S.PAUSING: StateRow(
            "a slice is hedged, the next one waits; an opening looks at both books again",
            frozenset({_S.MAKING, _S.TAKING, _S.RETREATING, _S.BALANCED}),
            "`slice_pause_s`, or a stop: the next slice, or the end; an error: retreating",
        ),
        _S.RETREATING: StateRow(
            "every order of the saga that may still fill is cancelled or looked up until final",
            frozenset({_S.HEDGING, _S.TAKING, _S.UNWINDING, _S.IN_DOUBT}),
            "`lookup_budget_s`: in doubt",
        ),
        _S.UNWINDING: StateRow(
            "the leg that has more gives the difference back: taker, then market",
            frozenset({_S.BALANCED, _S.IN_DOUBT}),
            "`unwind_budget_s`: in doubt",
        ),
        _S.BALANCED: StateRow("ended: both legs equal within one coarser lot, possibly at zero", frozenset(), "-"),
        _S.REFUSED: StateRow("ended: nothing was sent", frozenset(), "-"),
        _S.IN_DOUBT: StateRow(
            "halted with an alert; the next cycle resumes at retreating",
            frozenset({_S.RETREATING}),
            "the next cycle; after `doubt_budget_s` everything is closed and a human must release",
        ),
    }
)

ENDS = frozenset({SagaState.BALANCED, SagaState.REFUSED, SagaState.IN_DOUBT})
"""States in which a run returns; IN_DOUBT is resumed by the next cycle."""
