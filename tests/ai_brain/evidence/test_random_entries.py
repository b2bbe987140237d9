"""The same trades begun at random: known answers, and what chance does to a record without an edge."""

from __future__ import annotations

import numpy as np
import pytest

from ai_brain.evidence.random_entries import random_entries
from ai_brain.evidence.run import TradeLine
from ai_brain.evidence.verdict import RandomEntries

HOUR_MS = 3_600_000


def trade(entry: int, held: int, opens: np.ndarray, *, side: int = 1, fees: float = 0.0) -> TradeLine:
    """A trade of 1,000 quote at the opens, `fees` quote dear."""
    quantity = 1_000.0 / opens[entry]
    gross = side * quantity * (opens[entry + held] - opens[entry])
    return TradeLine(
        entry_ms=entry * HOUR_MS,
        exit_ms=(entry + held) * HOUR_MS,
        side=side,
        quantity_base=quantity,
        entry_price=float(opens[entry]),
        exit_price=float(opens[entry + held]),
        fees_quote=fees,
        slippage_quote=0.0,
        funding_quote=0.0,
        pnl_quote=float(gross - fees),
        reason="MAX_HOLD",
    )


def asked(
    trades: list[TradeLine], opens: np.ndarray, *, judged: np.ndarray | None = None, seed: int = 1
) -> RandomEntries:
    bars = np.arange(len(opens)) if judged is None else judged
    found = random_entries(trades, opens, bars, interval_ms=HOUR_MS, starting_quote=10_000.0, seed=seed)
    assert found is not None
    return found


def test_where_only_one_bar_may_be_entered_every_copy_is_that_trade_with_its_costs() -> None:
    opens = np.array([100.0, 110.0, 99.0, 120.0, 90.0])
    for side, gross in ((1, 100.0), (-1, -100.0)):
        found = asked([trade(0, 1, opens, side=side, fees=7.0)], opens, judged=np.array([0]))
        assert found.actual_return == pytest.approx((gross - 7.0) / 10_000.0)
        assert (found.median_return, found.high_return) == (pytest.approx(found.actual_return),) * 2
        assert found.as_good_share == pytest.approx(1.0)


def test_two_bars_are_drawn_alike_often_and_a_late_entry_ends_with_the_last_bar() -> None:
    opens = np.array([100.0, 100.0, 100.0, 150.0])
    found = asked([trade(2, 1, opens)], opens, judged=np.array([0, 3]))  # from bar 3 it begins at bar 2, to end at 3
    assert found.actual_return == pytest.approx(0.05)
    assert found.as_good_share == pytest.approx(0.5, abs=0.06)


def test_the_same_seed_gives_the_same_and_a_record_without_a_closed_trade_has_none() -> None:
    opens = 100.0 * np.exp(np.cumsum(np.random.default_rng(1).normal(0.0, 0.01, 500)))
    trades = [trade(entry, 5, opens) for entry in range(10, 400, 40)]
    assert asked(trades, opens, seed=3) == asked(trades, opens, seed=3) != asked(trades, opens, seed=4)
    assert random_entries([], opens, np.arange(500), interval_ms=HOUR_MS, starting_quote=1.0, seed=1) is None


def test_entries_that_know_nothing_are_as_good_as_chance_at_the_rate_that_is_told() -> None:
    shares = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        opens = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.01, 800)))
        entries = np.sort(random.choice(780, 30, replace=False))
        shares.append(asked([trade(int(entry), 12, opens, fees=1.0) for entry in entries], opens).as_good_share)
    assert np.mean(np.array(shares) <= 0.1) == pytest.approx(0.1, abs=0.06)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.07)
