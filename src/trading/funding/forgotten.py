"""Positions whose orders the journal of intents does not know: nobody could close them, and none may be called flat."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trading.domain.errors import StateFileError
from trading.domain.instrument import Market
from trading.domain.orders import Side
from trading.execution.intents import Intents
from trading.funding.position import of_several


def forgotten(path: Path, intents: Intents) -> tuple[str, ...]:
    """Live positions with fills of ours whose orders the journal does not know: it was emptied, cut or swapped.

    Args:
        path: The file of positions; one that makes no sense tells of none, for who must close works without it.
        intents: The journal beside it.

    Returns:
        Their ids.
    """
    known = {record.venue_id for record in intents.orders()}
    try:
        lives: Any = of_several(json.loads(path.read_bytes()))["lives"]
        return tuple(
            str(live["id"])
            for live in lives
            if any(_was_ordered(one) and one["fill"]["venue_order_id"] not in known for one in live["fills"])
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ()


def _was_ordered(booked: Mapping[str, Any]) -> bool:
    """What the exchange bought back by force is ours without an order of ours, see `ledger.adopt_forced`."""
    is_bought_back = (booked["fill"]["market"], booked["fill"]["side"]) == (Market.PERP, Side.BUY)
    return booked["is_ours"] is True and not is_bought_back


def forgotten_error(path: Path, lost: Sequence[str]) -> StateFileError:
    """What to say, and what to do, of those positions."""
    return StateFileError(
        f"{path}: holds {', '.join(lost)}, and the journal of intents beside it knows nothing of orders that were "
        "filled: restore intents.jsonl from a backup, or close both legs on the exchange and move both files away"
    )
