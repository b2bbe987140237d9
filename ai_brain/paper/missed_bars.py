"""Bars that a paper account went without: the validator refused them, or they were not to be had in time.

A replay goes without them too. The account says which they are; how many is bounded, and told.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from ai_brain.paper.account import PaperAccount
from ai_brain.paper.market_view import PaperTapes
from trading.market.tape import PRICES, Tape, make_tape

FEW_MISSED = 2
MOST_MISSED = 0.02
"""Bars, and share of an account's bars, that paper may go without; where more are gone something else is wrong."""


def as_far_as_paper_had_it(account: PaperAccount, tapes: PaperTapes) -> tuple[PaperTapes, int]:
    """The tapes without the bars that paper went without, and how many of those it should have stepped."""
    missed = account.missed
    if not missed:
        return tapes, 0
    main, first_ms = _without(tapes.main, missed), account.first_bar_ms
    had, left = (int(np.count_nonzero(tape.open_time_ms >= first_ms)) for tape in (tapes.main, main))
    return PaperTapes(main, None if tapes.spot is None else _without(tapes.spot, missed)), had - left


def too_much_missed(account: PaperAccount, missed: int) -> str:
    """Why so many bars were missed that what is left proves nothing; empty: few were."""
    whole = account.returns.n + missed
    if missed <= max(FEW_MISSED, MOST_MISSED * whole):
        return ""
    return f"paper went without {missed} of {whole} bars that the market has; at most {MOST_MISSED:.0%} may be missing"


def _without(tape: Tape, missed: Collection[int]) -> Tape:
    kept = ~np.isin(tape.open_time_ms, list(missed))
    if kept.all():
        return tape
    columns = {name: getattr(tape, name)[kept] for name in ("open_time_ms", *PRICES, "volume_base")}
    spot_close = tape.spot_close[kept] if len(tape.spot_close) else tape.spot_close
    return make_tape(replace(tape, **columns, spot_close=spot_close))
