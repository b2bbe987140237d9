"""Every reason of a decision in plain words: what it says, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from trading.domain.decisions import Reason
from trading.risk.guards import HELD
from trading.risk.rules import RULES, Kind


class Words(NamedTuple):
    """A reason for a person."""

    says: str
    do: str


_WAIT = "nothing; it passes by itself"
_LOOK = "look at the exchange, find out why, then: python stop_trading.py --release"
_LESS = "nothing, or raise the limit in lab.yaml under risk: if you mean it"
_DATA = "nothing; when it lasts, look at the network: ./lab doctor"

REASONS: Mapping[Reason, Words] = {
    Reason.OK: Words("no rule that was asked refused it", "nothing"),
    Reason.KILL_SWITCH: Words(
        "the kill switch is on: nothing is opened, everything is closed", "release it: python stop_trading.py --release"
    ),
    Reason.STOPPED_BY_HUMAN: Words(
        "a human, or the guardian, has stopped trading", "release it: python stop_trading.py --release"
    ),
    Reason.PAUSED: Words("state/PAUSED is there: what is held is kept, nothing new is opened", "remove that file"),
    Reason.NOT_ARMED: Words(
        "no live order may be sent: not both gates are open",
        "python go_live.py, when you mean it; without it everything stays on paper",
    ),
    Reason.NO_APPROVED_STRATEGY: Words(
        "no strategy has been approved for live trading", "python approve_strategy.py, once one waits for you"
    ),
    Reason.APPROVAL_VOID: Words(
        "the approved strategy is no longer the one that was signed",
        "approve and arm it anew, if you know what changed",
    ),
    Reason.KEY_UNFIT: Words(
        "the trading key is not accepted, or may do too much or too little",
        "mend the key on the exchange's API page: ./lab doctor says what is wrong with it",
    ),
    Reason.QUOTE_STALE: Words("the newest prices were too old to trade on", _DATA),
    Reason.DATA_BLOCKED: Words("the market data did not pass the validator", _DATA),
    Reason.DATA_UNAVAILABLE: Words("something that must be known to decide could not be read", _DATA),
    Reason.FUNDING_IMPLAUSIBLE: Words(
        "the funding rate was beyond the contract's own cap, so it was not believed", _DATA
    ),
    Reason.FUNDING_TOO_LOW: Words(
        "the funding that can be counted on, a year, was below what the strategy asks for", _WAIT
    ),
    Reason.COST_ABOVE_EXPECTED: Words("the expected funding would not have paid for opening and closing", _WAIT),
    Reason.BASIS_TOO_WIDE: Words("perpetual and spot were too far apart in price", _WAIT),
    Reason.HOLDING: Words("the position is kept: there was no reason to leave it", "nothing"),
    Reason.REBALANCE: Words("the two legs had grown apart and were made even again", "nothing"),
    Reason.MARGIN_LOW: Words(
        "the short came near its liquidation and margin was missing",
        "add funds; without them the position is made smaller, or closed",
    ),
    Reason.EXPECTATION_NEGATIVE: Words("the funding still to be expected no longer pays for holding on", "nothing"),
    Reason.EVIDENCE_EXPIRED: Words(
        "the strategy broke its promise, so its evidence has expired",
        "nothing; it is retired and closed by the ordinary exit",
    ),
    Reason.BETTER_USE: Words("the capital earns more elsewhere, after the cost of moving it", "nothing"),
    Reason.ADL_RANK: Words(
        "the short stands near the front of the exchange's auto-deleveraging queue",
        "nothing, unless hedge.adl_leave_quantile is set",
    ),
    Reason.FORCED_CLOSE: Words("the exchange closed the perpetual by force", _LOOK),
    Reason.SYMBOL_STATUS: Words(
        "the exchange has taken the symbol out of ordinary trading", "wait; the exchange's announcements say until when"
    ),
    Reason.DELIVERY_SET: Words(
        "the exchange has set an end to the contract", "nothing; what is held is closed in time"
    ),
    Reason.TERMS_CHANGED: Words(
        "the exchange changed the contract's funding terms, so its history says little",
        "nothing; entries wait until enough is known under the new ones",
    ),
    Reason.QUOTE_DEPEG: Words(
        "the quote coin is not worth a dollar, as two sources say",
        "wait, and decide whether you want to hold that coin",
    ),
    Reason.HEDGE_UNSEEN: Words(
        "something that can break the hedge could not be looked at",
        "look whether hedge.second_source can be reached from where you are",
    ),
    Reason.TOTAL_RISK: Words("all positions together would have put too much at risk", _LESS),
    Reason.POSITION_SIZE: Words("the position would have been larger than one may be", _LESS),
    Reason.TRADE_SIZE: Words("the trade would have been larger than one may be", _LESS),
    Reason.MIN_NOTIONAL: Words(
        "what the limits leave is smaller than the smallest order",
        "add funds, raise the limit that binds, or trade a symbol with smaller minimums",
    ),
    Reason.TRADES_PER_DAY: Words("the day's trades are used up", "wait for midnight UTC"),
    Reason.DAILY_LOSS: Words("the day lost as much as a day may", "wait for midnight UTC"),
    Reason.WEEKLY_LOSS: Words("the week lost as much as a week may", "wait for Monday, UTC"),
    Reason.DRAWDOWN_REVIEW: Words("equity fell so far from its highest that you should look", _LOOK),
    Reason.DRAWDOWN_STOP: Words("equity fell so far from its highest that trading stops", _LOOK),
    Reason.DRAWDOWN_EXIT: Words("equity fell so far from its highest that everything is closed", _LOOK),
    Reason.STRATEGY_DRAWDOWN: Words(
        "the strategy lost so much of its capital that it is stopped for good",
        "it is retired; until you release the halt nothing else is opened either: python stop_trading.py --release",
    ),
    Reason.LOSS_STREAK: Words("too many positions in a row lost", _LOOK),
    Reason.COOL_DOWN: Words("the last fill or loss was too short a while ago", _WAIT),
    Reason.LEVERAGE: Words("the leverage was above its limit", "nothing; or set it right on the exchange"),
    Reason.ONE_POSITION: Words("as many positions as may be are held or under way", "nothing"),
    Reason.FIRST_LIVE_SIZE: Words("a first live trade may be no larger", "nothing; it grows with the evidence"),
    Reason.INSUFFICIENT_BALANCE: Words(
        "not enough was free in the wallets", "add funds, or move them to the wallet that lacks them"
    ),
    Reason.LIMITS_CONTRADICT: Words(
        "with this equity the limits exclude every trade", "change the one that the note names, or add funds"
    ),
    Reason.CLUSTER_EXPOSURE: Words("too much would have been in what moves together", _LESS),
    Reason.VALUE_AT_RISK: Words("a bad day could have cost too much", _LESS),
    Reason.EXPECTED_SHORTFALL: Words("the worst days could have cost too much", _LESS),
    Reason.STRESS_LOSS: Words("the worst crash on record would have cost too much", _LESS),
    Reason.EXCHANGE_HEALTH: Words("the exchange left too many calls in a row unanswered", _DATA),
    Reason.ERROR_RATE: Words("too many calls to the exchange failed", _DATA),
    Reason.LATENCY: Words("the exchange answered too slowly", _DATA),
    Reason.RATE_LIMITED: Words("the exchange asked us to stay away for a while", _WAIT),
    Reason.CLOCK_DRIFT: Words(
        "this machine's clock is off the exchange's", "turn on time sync: timedatectl set-ntp true"
    ),
    Reason.SECOND_LEG_FAILED: Words(
        "the second leg could not be filled, so the first was closed again",
        "read the note; it cost fees, no position is left",
    ),
    Reason.NOT_FILLED: Words("the order was not filled in its time and taken back", "nothing"),
    Reason.OUTCOME_UNKNOWN: Words(
        "an order's fate was not known; it is looked up, never sent again",
        "wait one cycle; if it stays, look at the exchange",
    ),
    Reason.RECONCILE_MISMATCH: Words("exchange and books held different positions or orders", _LOOK),
    Reason.EQUITY_IDENTITY: Words("money moved that no fill, fee, funding or transfer explains", _LOOK),
    Reason.MARGIN_RATIO: Words("the guardian saw the margin run out and closed everything", _LOOK),
    Reason.UNHEDGED: Words("the guardian saw one leg without the other for too long", _LOOK),
    Reason.SAGA_ABANDONED: Words("the guardian found a trade that the lab had left half done", _LOOK),
    Reason.LAB_SILENT: Words(
        "the guardian found no living lab to mind what was open", "start the lab; its log says why it ended"
    ),
}
"""One entry a reason; a test holds the table to the reasons."""

MEASURES: Mapping[str, str] = {str(rule.id): rule.measures for rule in RULES}
"""What a risk rule holds against its limit."""


CAPS = frozenset(str(rule.id) for rule in RULES if rule.kind is Kind.CAP)


def trims(reason: str, note: str) -> bool:
    """Whether an answer is about how large a new trade may be: what is too large is made smaller, not refused."""
    return reason in CAPS and not note.startswith(HELD)


def words_of(reason: str) -> Words:
    """A reason as it stands in a file, in words; one of a lab of another age is told as it stands."""
    known = {str(one) for one in Reason}
    return REASONS[Reason(reason)] if reason in known else Words(f"{reason} (no reason of this lab)", "nothing")
