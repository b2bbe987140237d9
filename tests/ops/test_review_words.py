"""What the human is told of a strategy's significance: n and interval wherever a rate is told."""

from __future__ import annotations

from ai_brain.evidence.verdict import Expectancy
from ops.jobs.review import _expectancy


def test_what_a_judged_trade_brings_has_its_n_and_interval_or_says_that_there_is_none() -> None:
    of = Expectancy(trades=42, mean_quote=1.234, low_quote=0.1, high_quote=2.5, confidence=0.95)
    assert _expectancy(of) == "a judged trade +1.23 USDT, n = 42, 95% +0.10 to +2.50"
    open_ended = of.model_copy(update={"low_quote": None})
    assert _expectancy(open_ended) == "a judged trade +1.23 USDT, n = 42, which chance leaves wide open"
