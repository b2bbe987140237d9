"""The table of risk rules: what each is called on the audit line, which settings it reads, and what it does.

`risk/guards.py` and `risk/breakers.py` ask them; tests hold that every limit of `lab.yaml` stands here, that every rule
here is asked, and that the table in `docs/risk.md` is this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trading.domain.decisions import Reason


class Kind(StrEnum):
    """What a rule does when it is crossed."""

    GATE = "gate"
    """No new position for now."""
    HALT = "halt"
    """No new position until a human releases."""
    EXIT = "exit"
    """What is held is closed too, and halted."""
    CAP = "cap"
    """How large a trade may be, one leg; the smallest wins."""
    BREAKER = "breaker"
    """No new position until the readings have been good for `breaker_rest_s`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row."""

    id: Reason
    kind: Kind
    settings: tuple[str, ...]
    """Fields of `RiskLimits` it reads."""
    measures: str
    """What is held against the limit."""


_ROWS: tuple[tuple[Reason, Kind, str, str], ...] = (
    (Reason.KILL_SWITCH, Kind.EXIT, "", "kill file or `KILL=1`"),
    (Reason.STOPPED_BY_HUMAN, Kind.EXIT, "", "`TRADING_STOPPED.json`; `--keep-positions` closes nothing"),
    (Reason.PAUSED, Kind.GATE, "", "`state/PAUSED`"),
    (Reason.EQUITY_IDENTITY, Kind.HALT, "", "what the books cannot explain; `carry.identity_tolerance_usdt`"),
    (Reason.RECONCILE_MISMATCH, Kind.EXIT, "", "a leg or an order that the exchange has otherwise"),
    (
        Reason.EXCHANGE_HEALTH,
        Kind.BREAKER,
        "max_failures_in_row breaker_rest_s",
        "longest run without an answer, of 50",
    ),
    (Reason.ERROR_RATE, Kind.BREAKER, "max_error_rate_pct breaker_rest_s", "calls without an answer, of the last 50"),
    (Reason.LATENCY, Kind.BREAKER, "max_latency_s breaker_rest_s", "median time to an answer"),
    (Reason.RATE_LIMITED, Kind.BREAKER, "breaker_rest_s", "seconds the exchange still asks us to stay away"),
    (Reason.CLOCK_DRIFT, Kind.BREAKER, "max_clock_drift_s breaker_rest_s", "this clock against the exchange's"),
    (Reason.QUOTE_STALE, Kind.GATE, "max_quote_age_s", "age of the older quote"),
    (Reason.DRAWDOWN_EXIT, Kind.EXIT, "drawdown_exit_pct", "fall from the highest equity"),
    (Reason.DRAWDOWN_STOP, Kind.HALT, "drawdown_stop_pct", "fall from the highest equity"),
    (Reason.DRAWDOWN_REVIEW, Kind.HALT, "drawdown_review_pct", "fall from the highest equity"),
    (Reason.WEEKLY_LOSS, Kind.GATE, "weekly_loss_pct", "loss since the ISO week began"),
    (Reason.DAILY_LOSS, Kind.GATE, "daily_loss_pct", "loss since the UTC day began"),
    (
        Reason.STRATEGY_DRAWDOWN,
        Kind.EXIT,
        "strategy_stop_pct strategy_watch_pct",
        "a strategy's loss of its capital; told at the watch line, stopped for good at the other",
    ),
    (Reason.LOSS_STREAK, Kind.HALT, "loss_streak", "losing positions in a row"),
    (Reason.TRADES_PER_DAY, Kind.GATE, "trades_per_day", "positions opened or closed today"),
    (Reason.ONE_POSITION, Kind.GATE, "max_positions", "positions held or pending"),
    (Reason.LEVERAGE, Kind.GATE, "leverage", "leverage of the perpetual leg"),
    (
        Reason.COOL_DOWN,
        Kind.GATE,
        "cooldown_after_fill_s cooldown_after_loss_s",
        "seconds since the last fill, and since the last loss",
    ),
    (Reason.TOTAL_RISK, Kind.CAP, "total_at_risk_pct", "capital of all that is held, pending and wanted"),
    (Reason.POSITION_SIZE, Kind.CAP, "position_pct", "one position, held, pending and wanted"),
    (Reason.TRADE_SIZE, Kind.CAP, "trade_pct", "this trade"),
    (Reason.FIRST_LIVE_SIZE, Kind.CAP, "first_live_usdt first_live_pct live_scale_pct", "this trade"),
    (
        Reason.CLUSTER_EXPOSURE,
        Kind.CAP,
        "cluster_pct cluster_correlation",
        "all that moves together, held, pending and wanted",
    ),
    (Reason.VALUE_AT_RISK, Kind.CAP, "value_at_risk_pct", "a day's loss of the hedged book, 99 %, recent and stressed"),
    (
        Reason.EXPECTED_SHORTFALL,
        Kind.CAP,
        "expected_shortfall_pct",
        "mean loss of its worst 2.5 % of days, recent and stressed",
    ),
    (Reason.STRESS_LOSS, Kind.CAP, "stress_loss_pct", "loss of the book in the worst crash on record"),
    (Reason.INSUFFICIENT_BALANCE, Kind.CAP, "", "free in both wallets (each, where nothing may be moved), less fees"),
    (Reason.MIN_NOTIONAL, Kind.GATE, "min_notional_usdt", "what the caps leave, against the smallest order"),
)
RULES = tuple(Rule(reason, kind, tuple(settings.split()), measures) for reason, kind, settings, measures in _ROWS)
"""In the order in which they are asked and told; the first that is crossed is the cycle's reason."""
