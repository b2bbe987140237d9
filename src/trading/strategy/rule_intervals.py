"""Other intervals inside a rule: which ones a strategy can read, and what to say of those it cannot.

A value `x @ 4h` is computed on bars of 4 h made of the strategy's own bars, so 4 h must be longer than the strategy's
timeframe and a whole multiple of it.
"""

from __future__ import annotations

import difflib
import math
import re
from functools import lru_cache

from trading.domain.market import INTERVAL_MS
from trading.strategy.rule_lexer import refusal, tokens_of

_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}


def longer_intervals(timeframe: str) -> tuple[str, ...]:
    """The intervals that rules of a strategy of this timeframe can read with `@`, shortest first; none for `1d`."""
    own_ms = INTERVAL_MS[timeframe]
    return tuple(name for name, ms in INTERVAL_MS.items() if ms > own_ms and ms % own_ms == 0)


@lru_cache(maxsize=4096)  # asked each time a strategy is compiled
def interval_misfit(rule: str, timeframe: str) -> str | None:
    """The refusal of a rule that reads an interval which bars of this timeframe cannot make; None: all fit.

    Args:
        rule: A text that parses.
        timeframe: Of the strategy.
    """
    tokens = tokens_of(rule)
    for i in (i for i, token in enumerate(tokens) if token.text == "@"):
        interval = tokens[i + 1].text + tokens[i + 2].text
        if (why := _misfit(interval, timeframe)) is not None:
            return str(refusal(rule, tokens[i + 1].column, f'"@ {interval}": {why}'))
    return None


def unknown_interval(text: str) -> str:
    """What to say of an interval that the lab does not know: the nearest one, by length where it has one."""
    match = re.fullmatch(r"([0-9]+)([mhdw])[a-z]*", text.lower())
    if match is not None and (count := int(match.group(1)[:9])) > 0:
        length_ms = count * _UNIT_MS[match.group(2)]
        near = min(INTERVAL_MS, key=lambda name: abs(math.log(INTERVAL_MS[name] / length_ms)))
    else:
        near = next(iter(difflib.get_close_matches(text.lower(), INTERVAL_MS, n=1, cutoff=0.5)), "")
    advice = f'did you mean "{near}"?' if near else f"write one of {', '.join(INTERVAL_MS)}"
    return f'unknown interval "{text}": {advice}'


def _misfit(interval: str, timeframe: str) -> str | None:
    fit = longer_intervals(timeframe)
    if interval in fit:
        return None
    if interval == timeframe:
        return "it is the strategy's own timeframe: leave it out"
    remedy = f"write one of {', '.join(fit)}" if fit else "leave it out"
    return f"must be longer than timeframe={timeframe} and a whole multiple of it: {remedy}"
