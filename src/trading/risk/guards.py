"""Every limit as a rule with an id, both numbers and a verdict. Pure: the desk measures, the guards judge.

The rules stand in one table, `risk/rules.py`; here they are asked.

Two kinds: a *gate* says yes or no (trades today, losses, drawdown, cool-downs, halts); a *cap* says how large a trade
may be at most, one leg, in quote. `allowed_notional` asks all of them: one closed gate is a size of zero, otherwise the
smallest cap wins, and every verdict is kept for the audit line.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trading.domain.decisions import Decision, Reason
from trading.risk.breakers import open_breakers
from trading.risk.kill_switch import Stop
from trading.risk.limits import RiskLimits
from trading.risk.memory import Memory
from trading.risk.stress import worst_scenario
from trading.risk.value_at_risk import STRESSED, TailRisk


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is held or pending in another symbol than the one asked for."""

    symbol: str
    notional_quote: float
    """One leg."""
    correlation: float = 1.0
    """Of its hourly returns with those of the symbol asked for; not known counts as 1."""


@dataclass(frozen=True, slots=True)
class RiskBook:
    """What the account holds and has coming, measured now."""

    now_ms: int
    equity_quote: float
    """Cash, positions, unrealised and funding, all wallets."""
    committed_quote: float
    """Spot value plus perpetual margin of what the lab holds."""
    pending_quote: float
    """The same for orders and intents that may still fill: they count as held."""
    position_quote: float
    """Notional of one leg already held by this strategy."""
    open_positions: int
    """Live positions of the lab, pending ones included."""
    strategy_loss_quote: float
    """Loss of this strategy so far, closed and open together, ≥ 0."""
    strategy_capital_quote: float
    """What this strategy was given, quote; 0: nothing yet."""
    free_spot_quote: float
    free_futures_quote: float
    moves_collateral: bool = False
    """What is free in one wallet may be moved to the other."""
    memory: Memory = field(default_factory=Memory)
    stop: Stop = field(default_factory=Stop)
    exposures: tuple[Exposure, ...] = ()
    """Of other symbols; their notional is in `committed_quote` or `pending_quote` too."""
    tail: TailRisk = STRESSED
    """Of the hedged book, recent and stressed, the worse of both."""
    quote_age_s: float = 0.0
    """Of the oldest quote looked at."""
    held_leverage: int | None = None
    """The most of what is held; None: that of what is wanted."""


HELD = "of what is held"
"""Begins the note of an answer that is not about a new trade."""


@dataclass(frozen=True, slots=True)
class Sized:
    """How large a trade may be, and which rule said so."""

    notional_quote: float
    """One leg; 0: no trade."""
    deciding: Decision
    decisions: tuple[Decision, ...]
    """Every rule asked, gates first."""

    @property
    def allowed(self) -> bool:
        """At least the smallest sensible trade passed."""
        return self.notional_quote > 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A trade before risk has looked at it."""

    notional_quote: float
    """One leg, quote."""
    leverage: int
    min_notional_quote: float
    """The larger of the two venues' minimums, quote."""
    cost_rate: float = 0.0
    """Fees and slippage of the entry, fraction of notional, kept free in each wallet."""


def allowed_notional(book: RiskBook, limits: RiskLimits, wanted: Wanted) -> Sized:
    """Size a new two-legged position.

    Returns:
        Zero with the first closed gate as the deciding rule; else the smallest cap, or zero with MIN_NOTIONAL when the
        smallest cap lies below the smallest order worth sending.
    """
    gates = entry_gates(book, limits, leverage=wanted.leverage)
    closed = [gate for gate in gates if not gate.allowed]
    caps = _caps(book, limits, wanted)
    everything = (*gates, *caps)
    if closed:
        return Sized(0.0, closed[0], everything)
    smallest = min(caps, key=lambda cap: cap.limit)
    floor = max(wanted.min_notional_quote, limits.min_notional_usdt)
    size = min(smallest.limit, wanted.notional_quote)
    if size < floor:
        note = f"{smallest.reason} leaves {size:.2f}, the smallest order is {floor:.2f}"
        reason = Reason.INSUFFICIENT_BALANCE if smallest.reason is Reason.INSUFFICIENT_BALANCE else Reason.MIN_NOTIONAL
        refusal = Decision(False, reason, size, floor, note)
        return Sized(0.0, refusal, (*everything, refusal))
    return Sized(size, smallest, everything)


def entry_gates(book: RiskBook, limits: RiskLimits, *, leverage: int) -> tuple[Decision, ...]:
    """Every yes-or-no rule of a new position, in the order in which they are told."""
    memory = book.memory
    return (
        book.stop.decision,
        *(halt.decision for halt in memory.halts),
        *open_breakers(memory.tripped, limits, book.now_ms),
        Decision(
            book.quote_age_s <= limits.max_quote_age_s, Reason.QUOTE_STALE, book.quote_age_s, limits.max_quote_age_s
        ),
        _at_most(Reason.DRAWDOWN_EXIT, memory.drawdown_fraction, limits.drawdown_exit_pct / 100, memory),
        _at_most(Reason.DRAWDOWN_STOP, memory.drawdown_fraction, limits.drawdown_stop_pct / 100, memory),
        _at_most(Reason.DRAWDOWN_REVIEW, memory.drawdown_fraction, limits.drawdown_review_pct / 100, memory),
        _at_most(Reason.WEEKLY_LOSS, memory.week_loss_fraction, limits.weekly_loss_pct / 100, memory),
        _at_most(Reason.DAILY_LOSS, memory.day_loss_fraction, limits.daily_loss_pct / 100, memory),
        strategy_stop(book, limits),
        _below(Reason.LOSS_STREAK, memory.losses_in_a_row, limits.loss_streak),
        _below(Reason.TRADES_PER_DAY, memory.trades_today, limits.trades_per_day),
        _below(Reason.ONE_POSITION, book.open_positions, limits.max_positions),
        Decision(leverage <= limits.leverage, Reason.LEVERAGE, float(leverage), float(limits.leverage)),
        _cooled(book.now_ms, memory.last_fill_ms, limits.cooldown_after_fill_s, "since the last fill"),
        _cooled(book.now_ms, memory.last_loss_ms, limits.cooldown_after_loss_s, "since the last loss"),
    )


def halting(book: RiskBook, limits: RiskLimits) -> tuple[Decision, ...]:
    """The rules whose crossing halts until a human releases, crossed or not, strongest first."""
    memory = book.memory
    return (
        _at_most(Reason.DRAWDOWN_EXIT, memory.drawdown_fraction, limits.drawdown_exit_pct / 100),
        _at_most(Reason.DRAWDOWN_STOP, memory.drawdown_fraction, limits.drawdown_stop_pct / 100),
        _at_most(Reason.DRAWDOWN_REVIEW, memory.drawdown_fraction, limits.drawdown_review_pct / 100),
        strategy_stop(book, limits),
        _below(Reason.LOSS_STREAK, memory.losses_in_a_row, limits.loss_streak),
    )


def held_risk(book: RiskBook, limits: RiskLimits, *, leverage: int) -> tuple[Decision, ...]:
    """What the book as it is, held and pending, may lose; crossed, because equity fell or a limit did, it is told."""
    legs = (book.committed_quote + book.pending_quote) / (1 + 1 / leverage)
    equity, crash = max(0.0, book.equity_quote), worst_scenario(leverage)
    losses = (
        (Reason.VALUE_AT_RISK, book.tail.var_rate, limits.value_at_risk_pct, book.tail.source),
        (Reason.EXPECTED_SHORTFALL, book.tail.shortfall_rate, limits.expected_shortfall_pct, book.tail.source),
        (Reason.STRESS_LOSS, crash.loss_rate(leverage), limits.stress_loss_pct, crash.id),
    )
    return tuple(
        Decision(legs * rate <= equity * pct / 100, reason, legs * rate, equity * pct / 100, f"{HELD}: {note}")
        for reason, rate, pct, note in losses
    )


def held_size(book: RiskBook, limits: RiskLimits, *, leverage: int) -> tuple[Decision, ...]:
    """How much of the limits on size what is held and pending takes; told, for a price that rises is no new trade."""
    together, equity = book.committed_quote + book.pending_quote, max(0.0, book.equity_quote)
    sizes = (
        (Reason.TOTAL_RISK, together, limits.total_at_risk_pct),
        (Reason.POSITION_SIZE, book.position_quote + book.pending_quote, limits.position_pct),
        (Reason.CLUSTER_EXPOSURE, _moving_together(book, limits, together / (1 + 1 / leverage)), limits.cluster_pct),
    )
    return tuple(
        Decision(size <= equity * pct / 100, reason, size, equity * pct / 100, HELD) for reason, size, pct in sizes
    )


def _moving_together(book: RiskBook, limits: RiskLimits, legs_quote: float) -> float:
    """One leg of what moves with the wanted symbol, quote."""
    apart = sum(e.notional_quote for e in book.exposures if abs(e.correlation) < limits.cluster_correlation)
    return max(0.0, legs_quote - apart)


def strategy_stop(book: RiskBook, limits: RiskLimits) -> Decision:
    """One strategy's loss against the capital it was given."""
    capital = book.strategy_capital_quote
    loss = book.strategy_loss_quote / capital if capital > 0 else 0.0
    note = "watch" if loss >= limits.strategy_watch_pct / 100 else ""
    return Decision(
        loss < limits.strategy_stop_pct / 100, Reason.STRATEGY_DRAWDOWN, loss, limits.strategy_stop_pct / 100, note
    )


def equity_caps(
    equity_quote: float, limits: RiskLimits, *, leverage: int, tail: TailRisk = STRESSED
) -> dict[str, tuple[Reason, float]]:
    """The most that one leg may be with nothing held, quote, by the setting that says so."""
    scale = limits.live_scale_pct / 100
    percents = {
        "total_at_risk_pct": (Reason.TOTAL_RISK, limits.total_at_risk_pct, 1 + 1 / leverage),
        "position_pct": (Reason.POSITION_SIZE, limits.position_pct, 1.0),
        "trade_pct": (Reason.TRADE_SIZE, limits.trade_pct, 1.0),
        "first_live_pct × live_scale_pct": (Reason.FIRST_LIVE_SIZE, limits.first_live_pct * scale, 1.0),
        "cluster_pct": (Reason.CLUSTER_EXPOSURE, limits.cluster_pct, 1.0),
        "value_at_risk_pct": (Reason.VALUE_AT_RISK, limits.value_at_risk_pct, tail.var_rate),
        "expected_shortfall_pct": (Reason.EXPECTED_SHORTFALL, limits.expected_shortfall_pct, tail.shortfall_rate),
        "stress_loss_pct": (Reason.STRESS_LOSS, limits.stress_loss_pct, worst_scenario(leverage).loss_rate(leverage)),
    }
    caps = {name: (reason, equity_quote * pct / 100 / per) for name, (reason, pct, per) in percents.items()}
    caps["first_live_usdt × live_scale_pct"] = (Reason.FIRST_LIVE_SIZE, limits.first_live_usdt * scale)
    return caps


def _caps(book: RiskBook, limits: RiskLimits, wanted: Wanted) -> tuple[Decision, ...]:
    caps = equity_caps(max(0.0, book.equity_quote), limits, leverage=wanted.leverage, tail=book.tail)
    capital = (book.committed_quote + book.pending_quote) / (1 + 1 / wanted.leverage)
    legs = (book.committed_quote + book.pending_quote) / (1 + 1 / (book.held_leverage or wanted.leverage))
    taken = {
        Reason.TOTAL_RISK: capital,
        Reason.POSITION_SIZE: book.position_quote + book.pending_quote,
        Reason.CLUSTER_EXPOSURE: _moving_together(book, limits, legs),
        Reason.VALUE_AT_RISK: legs,
        Reason.EXPECTED_SHORTFALL: legs,
        Reason.STRESS_LOSS: legs,
    }
    sized = [_cap(reason, wanted, room - taken.get(reason, 0.0), note=name) for name, (reason, room) in caps.items()]
    spot_share, futures_share = 1 + wanted.cost_rate, 1 / wanted.leverage + wanted.cost_rate
    if book.moves_collateral:
        both = (book.free_spot_quote + book.free_futures_quote) / (spot_share + futures_share)
        sized.append(_cap(Reason.INSUFFICIENT_BALANCE, wanted, both, note="free in both wallets"))
        return tuple(sized)
    spot, futures = book.free_spot_quote / spot_share, book.free_futures_quote / futures_share
    sized.append(_cap(Reason.INSUFFICIENT_BALANCE, wanted, spot, note="free in the spot wallet"))
    sized.append(_cap(Reason.INSUFFICIENT_BALANCE, wanted, futures, note="free in the futures wallet"))
    return tuple(sized)


def _cap(reason: Reason, wanted: Wanted, room_quote: float, *, note: str) -> Decision:
    room = max(0.0, room_quote)
    return Decision(wanted.notional_quote <= room, reason, wanted.notional_quote, room, note)


def _at_most(reason: Reason, value: float, limit: float, memory: Memory | None = None) -> Decision:
    """Crossed at the limit itself; a drawdown a human has released is let pass until it has recovered."""
    released = memory is not None and reason in memory.released
    return Decision(value < limit or released, reason, value, limit, "released by a human" if released else "")


def _below(reason: Reason, value: int, limit: int) -> Decision:
    return Decision(value < limit, reason, float(value), float(limit))


def _cooled(now_ms: int, last_ms: int, limit_s: float, note: str) -> Decision:
    elapsed_s = (now_ms - last_ms) / 1000 if last_ms else limit_s
    return Decision(elapsed_s >= limit_s, Reason.COOL_DOWN, elapsed_s, limit_s, note)
