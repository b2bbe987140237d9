"""What the words of an event take in: its facts as a person reads them, with units, by their clock, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from ops.figures import MINUTE_S, NOT_KNOWN, Figure, age, figure
from ops.reader import Reader
from ops.reasons import words_of
from trading.domain.counted import Count
from trading.domain.decisions import Reason
from trading.domain.events import Event
from trading.risk.rules import RULES, Kind

Unit = Callable[[float], str]


def _percent(value: float) -> str:
    return _of(figure(value * 100, ".4g"), "%")


def _usdt(value: float) -> str:
    return _of(figure(value, ",.2f"), "USDT")


def _seconds(value: float) -> str:
    return _of(figure(value, ",.0f" if abs(value) >= 1000 else ".4g"), "s")


def _of(number: str, unit: str) -> str:
    return number if number == NOT_KNOWN else f"{number} {unit}"


def _plain(value: float) -> str:
    return figure(value, ",.6g")


UNITS: Mapping[str, Unit] = {
    **{str(rule.id): _usdt for rule in RULES if rule.kind is Kind.CAP},
    **dict.fromkeys(map(str, (Reason.EQUITY_IDENTITY, Reason.MIN_NOTIONAL, Reason.LIMITS_CONTRADICT)), _usdt),
    **dict.fromkeys(
        map(
            str,
            (
                Reason.DAILY_LOSS,
                Reason.WEEKLY_LOSS,
                Reason.DRAWDOWN_REVIEW,
                Reason.DRAWDOWN_STOP,
                Reason.DRAWDOWN_EXIT,
                Reason.STRATEGY_DRAWDOWN,
                Reason.ERROR_RATE,
                Reason.MARGIN_RATIO,
                Reason.FUNDING_TOO_LOW,
                Reason.EXPECTATION_NEGATIVE,
                Reason.COST_ABOVE_EXPECTED,
                Reason.BASIS_TOO_WIDE,
            ),
        ),
        _percent,
    ),
    **dict.fromkeys(
        map(
            str,
            (
                Reason.QUOTE_STALE,
                Reason.LATENCY,
                Reason.CLOCK_DRIFT,
                Reason.COOL_DOWN,
                Reason.RATE_LIMITED,
                Reason.UNHEDGED,
                Reason.SAGA_ABANDONED,
                Reason.LAB_SILENT,
            ),
        ),
        _seconds,
    ),
    **dict.fromkeys(
        map(str, (Reason.LOSS_STREAK, Reason.TRADES_PER_DAY, Reason.ONE_POSITION, Reason.EXCHANGE_HEALTH)), _plain
    ),
}
"""How the two numbers of a reason are told; of the others they are a yes or a no, and not told."""


HEDGE_WAS: Mapping[str, str] = {
    "ADL_RANK": "the place of {where} near the front of the queue of auto-deleveraging",
    "LIQUIDATION_NEAR": "the near liquidation of {where}",
    "SYMBOL_STATUS": "the status {where}",
    "DELIVERY_SET": "the set end of {where}",
    "TERMS_CHANGED": "the wait after new funding terms of {symbol}",
    "QUOTE_DEPEG": "the quote coin off its dollar",
    "SOURCE_SILENT": "no answer for {where}",
}
"""What the hedge watch has told, by its kind, once it is over."""


def told_facts(event: Event, reader: Reader) -> dict[str, object]:
    """The facts of an event for its words; those that are made of them are added.

    Args:
        event: What happened.
        reader: Whose clock its times are of.

    Returns:
        The facts, `when`, and `whose` of a strategy; of a reason `said`, `because`, `numbers` and `do`; of a settlement
        `settled`; of seconds `took`; of errors `failed`.
    """
    facts = event.facts
    told: dict[str, object] = {name: _as_told(value) for name, value in facts.items()}
    told["when"] = reader.named(event.at_ms)
    told["whose"] = f", {facts['strategy']}" if "strategy" in facts else ""
    if "reason" in facts:
        words = words_of(str(facts["reason"]))
        told["numbers"], told["do"] = _numbers(facts), words.do
        told["said"] = f"{facts['reason']}, {words.says}"
        told["because"] = "; ".join(map(_because, (facts, *_others(facts))))
    if "where" in facts:
        where = str(facts["where"])
        was = HEDGE_WAS.get(str(facts.get("kind")), "{where}")
        told["what_was"] = was.format(where=where, symbol=where.partition(" ")[0])
    if isinstance(took_s := facts.get("seconds"), (int, float)):
        told["took"] = f"{took_s:.1f} s" if took_s < 2 * MINUTE_S else age(took_s)
    settled_ms, errors = facts.get("settlement_ms"), facts.get("errors")
    if isinstance(settled_ms, int):
        told["settled"] = reader.dated(settled_ms)
    if isinstance(errors, Iterable) and not isinstance(errors, str):
        told["failed"] = next(iter(reversed(list(map(str, errors)))), "the exchange still shows it")
    return told


def _as_told(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return Count(value)
    return Figure(value) if isinstance(value, (Decimal, float)) else value


def _others(facts: Mapping[str, object]) -> list[Mapping[str, object]]:
    """What else is told with the same event."""
    others = facts.get("others")
    return [one for one in others if isinstance(one, Mapping)] if isinstance(others, list) else []


def _because(facts: Mapping[str, object]) -> str:
    """A reason in words, with its numbers."""
    reason = str(facts["reason"])
    return ": ".join(part for part in (f"{reason}, {words_of(reason).says}", _numbers(facts)) if part)


def both(reason: str, value: float, limit: float) -> str:
    """`3.12 % against a limit of 3 %`; empty: the numbers of that reason say nothing to a person."""
    unit = UNITS.get(reason)
    return "" if unit is None else f"{unit(value)} against a limit of {unit(limit)}"


def _numbers(facts: Mapping[str, object]) -> str:
    """`3.12 % against a limit of 3 % (its note)`; empty: neither numbers nor a note say more."""
    value, limit, told = facts.get("value"), facts.get("limit"), ""
    if isinstance(value, (int, float, Decimal)) and isinstance(limit, (int, float, Decimal)):
        told = both(str(facts["reason"]), float(value), float(limit))
    note = str(facts.get("note") or "")
    return f"{told} ({note})" if told and note else told or note
