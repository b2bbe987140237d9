"""Every limit and how much of it is used: by the counters, and by the newest cycle in which a rule was asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ops.dashboard.cycles import Cycle, last_cycle, parse_cycle
from ops.dashboard.reading import COUNTERS, read_as, read_limits
from ops.dashboard.standing import halt_banner
from ops.dashboard.view import (
    Banner,
    Cell,
    Column,
    Facts,
    Meter,
    Meters,
    Table,
    Tone,
    View,
    money,
    number,
    percent,
    says,
    when,
)
from ops.reasons import trims
from ops.telling.measured import UNITS
from trading.domain.decisions import Reason
from trading.risk.guards import HELD
from trading.risk.limits import RiskLimits
from trading.risk.memory import Memory
from trading.storage.home import Home
from trading.storage.long_files import backwards

LOOKED_BACK = 1_500
"""Cycles, a day and an hour, that are looked through for the last answer of each rule."""
AT_LEAST = (Reason.COOL_DOWN, Reason.MIN_NOTIONAL)
"""Rules whose value must reach the limit; of all others it must not exceed it."""
SEVERAL = (
    Reason.COOL_DOWN,
    Reason.FIRST_LIVE_SIZE,
    Reason.INSUFFICIENT_BALANCE,
    Reason.TOTAL_RISK,
    Reason.POSITION_SIZE,
    Reason.CLUSTER_EXPOSURE,
    Reason.VALUE_AT_RISK,
    Reason.EXPECTED_SHORTFALL,
    Reason.STRESS_LOSS,
)
"""Rules that are asked more than once a cycle, each time of something else; the note begins with what."""
HELD_NAMES = {
    Reason.TOTAL_RISK: "Capital at risk",
    Reason.POSITION_SIZE: "One position",
    Reason.CLUSTER_EXPOSURE: "What moves together",
    Reason.VALUE_AT_RISK: "Value at risk, a day",
    Reason.EXPECTED_SHORTFALL: "Expected shortfall, a day",
    Reason.STRESS_LOSS: "Loss in the worst crash on record",
}
"""Limits on what is held, in the order in which they are shown."""
SET_IN = {"_pct": " %", "_usdt": " USDT", "_s": " s", "leverage": "×", "trades_per_day": " a day"}
"""By the end of a limit's name: its unit."""
NEAR = 0.8
"""Of a limit; from here on it is told as near."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The last answer of one rule."""

    reason: str
    of: str
    """What it was asked of, where it is asked of several things: `since the last loss`, `of what is held`."""
    at_ms: int
    allowed: bool
    value: float
    limit: float
    note: str


@dataclass(frozen=True, slots=True)
class Risk:
    """Limits, counters, and what the rules last said."""

    limits: RiskLimits | None
    """None: `lab.yaml` cannot be read."""
    counters: Memory | None
    """None: the lab has not traded live, or the file cannot be read."""
    asked: tuple[Asked, ...]
    """The last of each rule and of each thing that it is asked of."""
    holds: bool
    """Whether the newest cycle held something."""
    problems: tuple[str, ...]


def read_risk(home: Home) -> Risk:
    """Read it; what cannot be read is among the problems."""
    problems = list[str]()
    counters = read_as(home.state / "risk_counters.json", COUNTERS, problems)
    limits = read_limits(home, problems)
    asked = tuple(_asked(home))
    newest = last_cycle(home.audit_file)
    held = any(one.of == HELD and newest is not None and one.at_ms == newest.at_ms for one in asked)
    return Risk(limits, counters, asked, held, tuple(problems))


def _asked(home: Home) -> Iterator[Asked]:
    seen = set[tuple[str, str]]()
    for line in islice(backwards(home.audit_file), LOOKED_BACK):
        for answer in _answers(parse_cycle(line.raw)):
            if (key := (answer.reason, answer.of)) not in seen:
                seen.add(key)
                yield answer


def _answers(cycle: Cycle | None) -> Iterator[Asked]:
    for check in cycle.risk.checks if cycle is not None else ():
        value, limit = check.get("value"), check.get("limit")
        if isinstance(value, int | float) and isinstance(limit, int | float) and cycle is not None:
            reason, note = str(check.get("reason")), str(check.get("note", ""))
            of = note.partition(":")[0] if reason in SEVERAL else ""
            yield Asked(reason, of, cycle.at_ms, check.get("allowed") is True, value, limit, note)


def risk(read: Risk) -> View:
    """The screen."""
    banners = [Banner(f"Cannot be read: {problem}", Tone.BAD) for problem in read.problems]
    blocks = (_used(read), _held(read), _account(read), _rules(read), _fixed(read))
    if read.counters is not None:
        banners += [halt_banner(halt, "HALTED", Tone.BAD) for halt in read.counters.halts]
        banners += [halt_banner(halt, "BREAKER OPEN", Tone.CAUTION) for halt in read.counters.tripped]
        if not read.counters.halts:
            banners.append(Banner("No halt of the guards is in force", Tone.PLAIN))
    return View("risk", "Risk limits", blocks, tuple(banners))


def used(name: str, value: float, limit: float, told: str) -> Meter:
    """A limit with its share that is used; what has reached it is over, what is near it is said to be."""
    share = value / limit if limit > 0 else None
    if share is None or share < NEAR:
        return Meter(name, share, told)
    return Meter(
        name, share, f"{told}: {'REACHED' if share >= 1 else 'near'}", Tone.BAD if share >= 1 else Tone.CAUTION
    )


def _used(read: Risk) -> Meters:
    limits, counted = read.limits, read.counters
    if limits is None or counted is None:
        why = (
            "nothing has been traded live here yet" if counted is None and not read.problems else "not known, see above"
        )
        return Meters("Used of the account's limits", (), empty=why)
    fall = counted.drawdown_fraction
    meters = [
        _loss("Loss today", counted.day_loss_fraction, limits.daily_loss_pct),
        _loss("Loss this week", counted.week_loss_fraction, limits.weekly_loss_pct),
        _loss("Fall from the peak, until review", fall, limits.drawdown_review_pct),
        _loss("Fall from the peak, until all stops", fall, limits.drawdown_stop_pct),
        _loss("Fall from the peak, until all is closed", fall, limits.drawdown_exit_pct),
        _count("Losses in a row", counted.losses_in_a_row, limits.loss_streak),
        _count("Trades today", counted.trades_today, limits.trades_per_day),
    ]
    return Meters(
        "Used of the account's limits", tuple(meters), note=f"UTC day {counted.day or '–'}, week {counted.week or '–'}"
    )


def _held(read: Risk) -> Meters:
    """How much of each limit on size and loss what is held now takes."""
    found = {one.reason: one for one in read.asked if one.of == HELD} if read.holds else {}
    meters = tuple(
        used(name, found[reason].value, found[reason].limit, _of_limit(found[reason]))
        for reason, name in HELD_NAMES.items()
        if reason in found
    )
    return Meters("Used of the limits on what is held", meters, empty="nothing is held live")


def _of_limit(asked: Asked) -> str:
    return f"{money(asked.value)} of {money(asked.limit)} USDT"


def _loss(name: str, fraction: float, limit_pct: float) -> Meter:
    return used(name, fraction * 100, limit_pct, f"{percent(fraction, digits=3)} of {limit_pct:g} %")


def _count(name: str, value: int, limit: int) -> Meter:
    return used(name, value, limit, f"{value} of {limit}")


def _account(read: Risk) -> Facts:
    counted = read.counters
    if counted is None:
        return Facts("Account as the guards see it", (("Equity", Cell("not seen yet", Tone.QUIET)),))
    rows = [
        ("Equity", Cell(f"{money(counted.equity_quote)} USDT")),
        ("Highest seen", Cell(f"{money(counted.peak_quote)} USDT")),
        ("Start of the day", Cell(f"{money(counted.day_start_quote)} USDT")),
        ("Start of the week", Cell(f"{money(counted.week_start_quote)} USDT")),
        ("Last fill", Cell(when(counted.last_fill_ms) if counted.last_fill_ms else "never")),
        ("Last loss", Cell(when(counted.last_loss_ms) if counted.last_loss_ms else "never")),
        ("Put in or taken out", Cell(f"{money(counted.flows_quote, signed=True)} USDT")),
    ]
    if counted.unexplained_cash_quote:
        words = f"{money(counted.unexplained_cash_quote, signed=True)} USDT"
        rows.append(("Not explained", Cell(words, Tone.BAD, signed=True)))
    rows += [
        (f"Closed, {spec}", Cell(f"{money(profit, signed=True)} USDT"))
        for spec, profit in counted.strategy_quote.items()
    ]
    note = "Marked where a live cycle begins, before it trades; not while the lab is stopped."
    return Facts("Account as the guards see it", tuple(rows), note=note)


def _rules(read: Risk) -> Table:
    columns = (
        Column("Rule", is_whole=True),
        Column("Says"),
        Column("Value", is_number=True),
        Column("Limit", is_number=True),
        Column("Used", is_number=True),
        Column("Asked", is_number=True),
        Column("Note"),
    )
    rows = []
    for asked in sorted(read.asked, key=lambda one: (one.reason, one.of)):
        has_share = asked.limit > 0 and asked.allowed and asked.reason not in AT_LEAST
        share = percent(asked.value / asked.limit, digits=1) if has_share else "–"
        both = (Cell(_with_unit(asked.reason, value)) for value in (asked.value, asked.limit))
        numbers = (*both, Cell(share), Cell(when(asked.at_ms)))
        said = says(asked.allowed, is_size=trims(asked.reason, asked.note))
        rows.append((Cell(asked.reason), said, *numbers, Cell(asked.note)))
    note = (
        f"Of the newest {LOOKED_BACK:,} cycles. Used is value over limit. "
        "A new trade that a rule trims is made smaller until it fits: one leg as wanted, and what the rule leaves."
    )
    return Table("What each rule said last", columns, tuple(rows), empty="no rule has been asked yet", note=note)


def _with_unit(reason: str, value: float) -> str:
    """As messages tell it; a yes or a no has no unit."""
    if reason == Reason.INSUFFICIENT_BALANCE:
        return f"{number(value)} USDT"
    unit = UNITS.get(reason)
    return number(value) if unit is None else unit(value)


def _as_set(name: str, value: float) -> str:
    """A limit with the unit that the end of its name says."""
    unit = next((unit for end, unit in SET_IN.items() if name.endswith(end)), "")
    return f"{value:,.6g}{unit}"


def _fixed(read: Risk) -> Facts:
    limits = {} if read.limits is None else read.limits.model_dump()
    rows = tuple((name, Cell(_as_set(name, value))) for name, value in limits.items())
    return Facts("Limits as lab.yaml has them", rows or (("Not known", Cell("lab.yaml cannot be read", Tone.BAD)),))
