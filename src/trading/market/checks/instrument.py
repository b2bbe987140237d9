"""The venue's own word on a symbol: whether it trades now, and the steps that prices and quantities come in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from trading.domain.instrument import Instrument
from trading.market.checks.moves import off_step
from trading.market.checks.rules import RuleId
from trading.market.validator_rules import Finding, Unchecked, ValidatorSettings, Verdict, judge


def validate_instrument(instrument: Instrument | None, settings: ValidatorSettings, *, where: str) -> Verdict:
    """Does the venue take orders in it.

    Args:
        instrument: As last read; None: not known, which is told as not looked at.
        settings: The validator's thresholds.
        where: For the message.
    """
    if instrument is None:
        return judge((), settings, [Unchecked(RuleId.SYMBOL_STATUS, where)])
    broken = () if instrument.is_trading else (Finding(RuleId.SYMBOL_STATUS, where, 0.0, 1.0),)
    return judge(broken, settings)


def judge_steps(
    prices: Sequence[float], quantities: Sequence[float], instrument: Instrument | None, where: str
) -> Iterator[Finding | Unchecked]:
    """Prices on the tick, quantities on the lot; the first of each that is not is told. All are finite numbers."""
    if instrument is None:
        yield Unchecked(RuleId.TICK, where)
        yield Unchecked(RuleId.LOT, where)
        return
    for rule, values, step in (
        (RuleId.TICK, prices, float(instrument.tick)),
        (RuleId.LOT, quantities, float(instrument.lot)),
    ):
        off = off_step(np.asarray(values, dtype=np.float64), step)
        if off.any():
            yield Finding(rule, where, float(values[int(np.argmax(off))]), step)
