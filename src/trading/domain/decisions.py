"""A refusal is a value with a reason, never an exception. Reasons go to the audit line and are never reworded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why something was done, or not."""

    OK = "OK"
    # stops
    KILL_SWITCH = "KILL_SWITCH"
    STOPPED_BY_HUMAN = "STOPPED_BY_HUMAN"
    PAUSED = "PAUSED"
    NOT_ARMED = "NOT_ARMED"
    NO_APPROVED_STRATEGY = "NO_APPROVED_STRATEGY"
    APPROVAL_VOID = "APPROVAL_VOID"
    KEY_UNFIT = "KEY_UNFIT"
    # data
    QUOTE_STALE = "QUOTE_STALE"
    DATA_BLOCKED = "DATA_BLOCKED"
    DATA_UNAVAILABLE = "DATA_UNAVAILABLE"
    FUNDING_IMPLAUSIBLE = "FUNDING_IMPLAUSIBLE"
    # economics of the carry
    FUNDING_TOO_LOW = "FUNDING_TOO_LOW"
    COST_ABOVE_EXPECTED = "COST_ABOVE_EXPECTED"
    BASIS_TOO_WIDE = "BASIS_TOO_WIDE"
    HOLDING = "HOLDING"
    REBALANCE = "REBALANCE"
    MARGIN_LOW = "MARGIN_LOW"
    EXPECTATION_NEGATIVE = "EXPECTATION_NEGATIVE"
    EVIDENCE_EXPIRED = "EVIDENCE_EXPIRED"
    BETTER_USE = "BETTER_USE"
    # what breaks the hedge
    ADL_RANK = "ADL_RANK"
    FORCED_CLOSE = "FORCED_CLOSE"
    SYMBOL_STATUS = "SYMBOL_STATUS"
    DELIVERY_SET = "DELIVERY_SET"
    TERMS_CHANGED = "TERMS_CHANGED"
    QUOTE_DEPEG = "QUOTE_DEPEG"
    HEDGE_UNSEEN = "HEDGE_UNSEEN"
    # risk limits
    TOTAL_RISK = "TOTAL_RISK"
    POSITION_SIZE = "POSITION_SIZE"
    TRADE_SIZE = "TRADE_SIZE"
    MIN_NOTIONAL = "MIN_NOTIONAL"
    TRADES_PER_DAY = "TRADES_PER_DAY"
    DAILY_LOSS = "DAILY_LOSS"
    WEEKLY_LOSS = "WEEKLY_LOSS"
    DRAWDOWN_REVIEW = "DRAWDOWN_REVIEW"
    DRAWDOWN_STOP = "DRAWDOWN_STOP"
    DRAWDOWN_EXIT = "DRAWDOWN_EXIT"
    STRATEGY_DRAWDOWN = "STRATEGY_DRAWDOWN"
    LOSS_STREAK = "LOSS_STREAK"
    COOL_DOWN = "COOL_DOWN"
    LEVERAGE = "LEVERAGE"
    ONE_POSITION = "ONE_POSITION"
    FIRST_LIVE_SIZE = "FIRST_LIVE_SIZE"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    LIMITS_CONTRADICT = "LIMITS_CONTRADICT"
    CLUSTER_EXPOSURE = "CLUSTER_EXPOSURE"
    VALUE_AT_RISK = "VALUE_AT_RISK"
    EXPECTED_SHORTFALL = "EXPECTED_SHORTFALL"
    STRESS_LOSS = "STRESS_LOSS"
    # circuit breakers
    EXCHANGE_HEALTH = "EXCHANGE_HEALTH"
    ERROR_RATE = "ERROR_RATE"
    LATENCY = "LATENCY"
    RATE_LIMITED = "RATE_LIMITED"
    CLOCK_DRIFT = "CLOCK_DRIFT"
    # execution
    SECOND_LEG_FAILED = "SECOND_LEG_FAILED"
    NOT_FILLED = "NOT_FILLED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    RECONCILE_MISMATCH = "RECONCILE_MISMATCH"
    EQUITY_IDENTITY = "EQUITY_IDENTITY"
    # the guardian
    MARGIN_RATIO = "MARGIN_RATIO"
    UNHEDGED = "UNHEDGED"
    SAGA_ABANDONED = "SAGA_ABANDONED"
    LAB_SILENT = "LAB_SILENT"


@dataclass(frozen=True, slots=True)
class Decision:
    """Yes or no, by which rule, with both numbers."""

    allowed: bool
    reason: Reason
    value: float
    """What was measured."""
    limit: float
    """What it was held against, same unit."""
    note: str = ""
    """One sentence a person can read."""
