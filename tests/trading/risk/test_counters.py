"""The counters forget nothing over a restart and do not follow a clock that is set back."""

from __future__ import annotations

from pathlib import Path

import pytest

from trading.domain.decisions import Decision, Reason
from trading.domain.errors import StateFileError
from trading.risk.counters import RiskCounters

DAY_MS = 86_400_000
NOON = 1_700_049_600_000  # Wednesday 2023-11-15T12:00Z


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "risk_counters.json"


def test_everything_survives_a_restart(path: Path) -> None:
    counters = RiskCounters(path)
    counters.mark(1000, NOON)
    counters.opened(NOON)
    counters.closed("c-1", "fc-1", -3.5, NOON + 1000)
    counters.halt(Decision(False, Reason.LOSS_STREAK, 5, 5, "five in a row"), NOON + 2000)
    assert RiskCounters(path).memory == counters.memory


def test_a_new_day_and_week_start_from_the_last_equity_seen(path: Path) -> None:
    counters = RiskCounters(path)
    counters.mark(1000, NOON)
    counters.opened(NOON)
    memory = counters.mark(980, NOON + 1000)
    assert memory.day_loss_fraction == pytest.approx(0.02)
    memory = counters.mark(970, NOON + DAY_MS)
    assert (memory.trades_today, memory.day_start_quote) == (0, 980)
    assert memory.week_loss_fraction == pytest.approx(0.03)
    memory = counters.mark(970, NOON + 6 * DAY_MS)
    assert memory.week_start_quote == 970


def test_a_clock_set_back_reopens_no_day_and_no_cool_down(path: Path) -> None:
    counters = RiskCounters(path)
    counters.mark(1000, NOON)
    counters.opened(NOON)
    memory = counters.mark(950, NOON - 3 * DAY_MS)
    assert (memory.day, memory.trades_today) == ("2023-11-15", 1)
    assert memory.last_fill_ms == NOON - 3 * DAY_MS  # the cool-down starts again now, it does not wait three days


def test_money_moved_by_the_human_is_neither_loss_nor_profit(path: Path) -> None:
    counters = RiskCounters(path)
    counters.mark(1000, NOON)
    assert counters.flat(1000) == 0
    assert counters.flat(400) == -600
    memory = counters.mark(400, NOON + 1000)
    assert (memory.day_loss_fraction, memory.drawdown_fraction) == (0, 0)


def test_cash_changed_by_a_position_is_not_taken_for_a_deposit(path: Path) -> None:
    counters = RiskCounters(path)
    counters.mark(1000, NOON)
    counters.flat(1000)
    counters.opened(NOON)
    counters.closed("c-1", "fc-1", 25, NOON + 1)
    assert counters.flat(1025) == 0


def test_a_halt_stays_until_released_and_a_released_ladder_comes_back_only_after_recovery(path: Path) -> None:
    counters = RiskCounters(path)
    crossed = Decision(False, Reason.DRAWDOWN_REVIEW, 0.11, 0.10)
    assert counters.halt(crossed, NOON)
    assert not counters.halt(crossed, NOON + 1)
    assert [halt.reason for halt in RiskCounters(path).release()] == [Reason.DRAWDOWN_REVIEW]
    again = RiskCounters(path)
    assert not again.halt(crossed, NOON + 2)
    again.recovered(Reason.DRAWDOWN_REVIEW)
    assert again.halt(crossed, NOON + 3)


def test_a_win_ends_the_streak_and_losses_are_kept_per_strategy(path: Path) -> None:
    counters = RiskCounters(path)
    for number, profit in enumerate((-1.0, -2.0, 5.0, -4.0)):
        counters.closed(f"c-{number}", "fc-1", profit, NOON)
    assert counters.memory.losses_in_a_row == 1
    assert counters.memory.strategy_quote == {"fc-1": -2.0}


def test_a_file_of_nonsense_is_set_aside_and_said(path: Path) -> None:
    path.write_text("nonsense")
    with pytest.raises(StateFileError, match="set aside as risk_counters"):
        RiskCounters(path)


def test_a_counter_of_the_wrong_kind_is_said_not_trusted(path: Path) -> None:
    counters = RiskCounters(path)
    counters.mark(1000, NOON)
    path.write_text(path.read_text().replace('"trades_today": 0', '"trades_today": "none"'))
    with pytest.raises(StateFileError, match="trades_today"):
        RiskCounters(path)


def test_counters_that_were_set_aside_refuse_the_next_start_too_and_say_what_to_do(path: Path) -> None:
    path.write_text("nonsense")
    for message in ("set aside as", r"restore it from a backup, or remove risk_counters\.json\.bad-\*"):
        with pytest.raises(StateFileError, match=message):
            RiskCounters(path)
    path.with_name("risk_counters.json.bad-1").unlink()
    assert RiskCounters(path).memory.halts == ()


def test_a_position_that_ended_is_counted_once_over_a_restart(path: Path) -> None:
    RiskCounters(path).closed("c-1", "fc-1", -2.0, NOON)
    again = RiskCounters(path)
    memory = again.closed("c-1", "fc-1", -2.0, NOON + 1)
    assert (memory.losses_in_a_row, memory.trades_today, memory.strategy_quote) == (1, 1, {"fc-1": -2.0})
    assert again.closed("c-2", "fc-1", -2.0, NOON + 2).losses_in_a_row == 2


def test_money_taken_out_and_adopted_at_midnight_is_no_loss_of_the_new_day(path: Path) -> None:
    counters = RiskCounters(path)
    counters.mark(1000, NOON)
    counters.halt(Decision(False, Reason.EQUITY_IDENTITY, -400, 0.01), NOON)
    counters.mark(600, NOON + 1000)
    counters.release()
    assert counters.memory.adopt_quote == -400
    counters.adopt(-400)
    memory = counters.mark(600, NOON + DAY_MS)
    assert (memory.day_start_quote, memory.day_loss_fraction, memory.drawdown_fraction) == (600, 0, 0)
