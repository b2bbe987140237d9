"""The first screen: does it live, what is it worth, what does it do now and why not, what waits for a human."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ops.dashboard.cycles import Cycle, last_cycle
from ops.dashboard.equity import Marks, equity_charts, read_marks
from ops.dashboard.reading import COUNTERS, NUMBERS, as_told, open_alerts, read_as
from ops.dashboard.standing import halt_banner, service_tone
from ops.dashboard.view import (
    Banner,
    Block,
    Cell,
    Column,
    Facts,
    Figure,
    Figures,
    Meter,
    Meters,
    Table,
    Tone,
    View,
    ago,
    by_sign,
    fine,
    money,
    number,
    percent,
    when,
)
from ops.numbers import Account, LastDecision, Numbers, to_release
from ops.reasons import words_of
from ops.reports import flows_told, told_parts
from ops.status import Status, read_status
from ops.telling.measured import both
from trading.domain.clock import Clock, iso
from trading.domain.counted import counted
from trading.notify.alerts import OpenAlert
from trading.notify.outbox import waiting_files
from trading.risk.memory import Halt
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage

SHOWN = 6
"""Reasons that are told."""


@dataclass(frozen=True, slots=True)
class Overview:
    """What the files say of the lab as a whole."""

    status: Status
    numbers: Numbers | None
    """Of the last cycle; None: there was none, or its file makes no sense."""
    last: Cycle | None
    """The newest line of the audit file."""
    alerts: dict[str, OpenAlert]
    halts: tuple[Halt, ...]
    tripped: tuple[Halt, ...]
    waiting_messages: int
    marks: Marks
    """What the accounts were worth over time."""
    problems: tuple[str, ...]


def read_overview(home: Home, clock: Clock) -> Overview:
    """Read it; what cannot be read is among the problems."""
    status = read_status(home, clock)
    problems = list(status.problems)
    counters = read_as(home.state / "risk_counters.json", COUNTERS, problems)
    return Overview(
        status=status,
        numbers=as_told(status.heartbeat, NUMBERS, str(home.heartbeat_file), problems),
        last=last_cycle(home.audit_file),
        alerts=open_alerts(home, problems),
        halts=counters.halts if counters else (),
        tripped=counters.tripped if counters else (),
        waiting_messages=max(map(len, waiting_files(home.outbox).values())),
        marks=read_marks(home),
        problems=tuple(dict.fromkeys(problems)),
    )


def overview(found: Overview) -> View:
    """The screen."""
    blocks: list[Block] = [_figures(found), _now(found), _waits(found), *equity_charts(found.marks)]
    if found.numbers is not None:
        blocks += [_accounts(found.numbers), _held(found.numbers, is_now=_is_alive(found))]
        blocks.append(_reasons(found.numbers))
    blocks.append(_stages(found.status))
    return View("overview", "Overview", tuple(blocks), tuple(banners(found)))


def banners(found: Overview) -> Iterator[Banner]:
    """What else has to be known before any number is read; `standing.py` has what stands on every view."""
    if found.numbers is not None and found.numbers.market == "synthetic":
        yield Banner("SYNTHETIC MARKET: made up by a generator, not by people trading", Tone.CAUTION)
    for halt in found.halts:
        yield halt_banner(halt, "HALTED", Tone.BAD)
    for halt in found.tripped:
        yield halt_banner(halt, "BREAKER OPEN", Tone.CAUTION)
    for problem in found.problems:
        yield Banner(f"Cannot be read: {problem}", Tone.BAD)


def _is_alive(found: Overview) -> bool:
    return service_tone(found.status) is Tone.GOOD


def mode_of(found: Overview) -> str:
    """`live`, `live (sandbox)`, or on paper; by the accounts there are and the last line of the audit file."""
    kinds = [account.whose for account in found.numbers.accounts] if found.numbers else []
    live = next((kind for kind in kinds if kind.startswith("live")), None)
    if live is not None:
        return live
    if kinds:
        return "paper"
    return found.last.mode if found.last else "nothing yet"


def _figures(found: Overview) -> Figures:
    beat = found.numbers
    first = beat.accounts[0] if beat is not None and beat.accounts else None
    age_s = found.status.heartbeat_age_s
    told = [
        Figure(f"Equity, {first.kind}", f"{money(first.equity_quote)} USDT", _parts(first))
        if first is not None
        else Figure("Equity", "no account yet", "live or on paper"),
        Figure("Mode", mode_of(found), f"market: {beat.market}" if beat else "the service has not written yet"),
    ]
    if first is not None:
        change = f"{money(first.change_quote, signed=True)} USDT{flows_told(first)}"
        told.insert(
            1,
            Figure(
                "Since start",
                percent(first.change_fraction, digits=3, signed=True),
                change,
                by_sign(first.change_quote),
            ),
        )
    if beat is not None and age_s is not None:
        told.append(
            Figure("Last cycle", iso(beat.at_ms)[11:16], f"{iso(beat.at_ms)[:10]} UTC, written {ago(age_s)} ago")
        )
    return Figures(tuple(told))


def _parts(account: Account) -> str:
    if not account.parts_known:
        return "in parts that are not known: it is parked"
    cash, held, dust, unrealised = told_parts(account)
    words = f"cash {money(cash)} + positions {money(held)}" + (f" + dust {money(dust)}" if account.dust_quote else "")
    words = f"{words} + unrealised {money(unrealised, signed=True)}"
    return words if account.adds_up else f"{words}: THE PARTS DO NOT ADD UP"


def _now(found: Overview) -> Facts:
    beat = found.numbers
    if beat is None:
        return Facts("Now", (("Decision", Cell("none yet: no cycle has run here", Tone.QUIET)),))
    is_now = _is_alive(found)
    rows: list[tuple[str, Cell]] = []
    if beat.last is not None:
        rows += _decided(beat.last)
    rows.append(("Why nothing trades", Cell(_why(beat))))
    rows.append(("Next", Cell(beat.next_action if is_now else "nothing, until the service runs")))
    rows.append(("Regime", Cell(beat.regime or "nobody has looked")))
    rows.append(("Data quality", Cell(f"{beat.data_quality:.0f} of 100")))
    rows += [("Tuner", Cell(words)) for words in beat.tuner]
    return Facts("What it does now" if is_now else "What it did last", tuple(rows))


def _decided(last: LastDecision) -> Iterator[tuple[str, Cell]]:
    tone = Tone.BAD if last.status in ("HALTED", "DEGRADED") else Tone.PLAIN
    words, numbers = words_of(last.reason), both(last.reason, last.value, last.limit)
    yield "Decision", Cell(f"{last.status} {last.reason}", tone, signed=tone is Tone.BAD)
    yield "In words", Cell(words.says)
    if numbers or not last.note:
        yield "Its numbers", Cell(numbers or f"{number(last.value)} against {number(last.limit)}")
    if last.note and last.note != last.reason:
        yield "Its note", Cell(last.note)
    if not words.do.startswith("nothing"):
        yield "You can", Cell(words.do)


def _why(beat: Numbers) -> str:
    reasons = sorted(beat.no_trade_reasons.items(), key=lambda pair: -pair[1])
    if not reasons:
        return "every cycle of the last day traded" if beat.last else "no cycle yet"
    (most, count), others = reasons[0], reasons[1:3]
    also = "".join(f"; {reason} {count:,}×" for reason, count in others)
    is_as_now = beat.last is not None and beat.last.reason == most
    says = "as above" if is_as_now else f"before, mostly: {words_of(most).says}"
    return f"{says} ({most} {count:,}×{also} in the last day)"


def _waits(found: Overview) -> Table:
    rows = [
        (Cell(line.name), Cell(f"python approve_strategy.py {line.id}", is_command=True, link=f"/strategies/{line.id}"))
        for line in found.status.pending
    ]
    for alert in found.alerts.values():
        first = alert.text.partition("\n")[0]
        since = f"since {when(alert.since_ms)}, raised {alert.raised}×"
        rows.append((Cell(first.removeprefix("🚨 "), Tone.BAD, signed=True), Cell(since)))
    if found.status.in_force:
        what = Cell(f"in force: {', '.join(found.status.in_force)}", Tone.BAD, signed=True)
        how = to_release(found.status.in_force).partition(" (")[0]  # what it is of stands beside it
        rows.append((what, Cell(how, is_command=how.startswith("python"))))
    if found.waiting_messages:
        waiting = Cell(counted(found.waiting_messages, "message"))
        rows.append((Cell("not delivered yet", Tone.CAUTION, signed=True), waiting))
    columns = (Column("What"), Column("Type this, or since when"))
    empty = "nothing: enjoy your day" if _is_alive(found) else "nothing that the files tell of"
    return Table("Waits for you", columns, tuple(rows), empty=empty)


def _accounts(beat: Numbers) -> Table:
    names = ("Equity", "Cash", "Positions", "Dust", "Unrealised", "Funding", "Fees", "Since start")
    rows = []
    for account in beat.accounts:
        kind = (
            Cell(account.kind) if account.adds_up else Cell(f"{account.kind}: does not add up", Tone.BAD, signed=True)
        )
        cash, held, dust, unrealised = told_parts(account)
        parts = (money(cash), money(held), money(dust), money(unrealised, signed=True))
        values = (
            money(account.equity_quote),
            *(parts if account.parts_known else "–" * len(parts)),
            fine(account.funding_quote),
            fine(-account.fees_quote),
        )
        change = Cell(percent(account.change_fraction, digits=3, signed=True), by_sign(account.change_quote))
        rows.append((kind, *map(Cell, values), change))
    return Table(
        "Accounts, USDT",
        (Column("Account"), *(Column(name, is_number=True) for name in names)),
        tuple(rows),
        empty="no account yet, live or on paper",
        note="Equity = cash + positions + dust + unrealised. Funding and fees are in the cash already.",
    )


def _held(beat: Numbers, *, is_now: bool) -> Facts:
    rows = tuple((one.strategy_id or "wallet", Cell(one.text)) for one in beat.holdings)
    title = "Held" if is_now else "Held when it last looked"
    return Facts(title, rows or (("Nothing", Cell("no position, live or on paper", Tone.QUIET)),))


def _reasons(beat: Numbers) -> Meters:
    reasons = sorted(beat.no_trade_reasons.items(), key=lambda pair: -pair[1])
    total = max(1, sum(beat.no_trade_reasons.values()))
    meters = tuple(Meter(name, count / total, f"{count:,}×") for name, count in reasons[:SHOWN])
    return Meters("Cycles of the last day that did not trade, by reason", meters, empty="none")


def _stages(status: Status) -> Meters:
    order = tuple(map(str, Stage))
    total = max(1, len(status.strategies) + status.retired)
    found = [(stage, status.stages[stage]) for stage in order if stage in status.stages]
    found += [(stage, count) for stage, count in sorted(status.stages.items()) if stage not in order]
    meters = tuple(Meter(stage.replace("_", " "), count / total, str(count)) for stage, count in found)
    return Meters("Strategies by stage", meters, empty="none yet")
