"""One strategy with its whole life: what it is, every move, every question of the gate."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from ops.dashboard.reading import read_as
from ops.dashboard.strategies import FILE, ID, Judged, StrategyFile, judged_of, on_paper, verdict_cell
from ops.dashboard.view import Banner, Cell, Column, Facts, Leads, Table, Tone, View, number
from trading.storage.home import Home


@dataclass(frozen=True, slots=True)
class One:
    """One strategy."""

    file: StrategyFile | None
    judged: Judged | None
    wanted: str
    problems: tuple[str, ...]


def read_one(home: Home, strategy_id: str) -> One:
    """One strategy by its id."""
    problems = list[str]()
    if not ID.fullmatch(strategy_id):
        return One(None, None, strategy_id, ())
    for folder in ("active", "testing", "retired"):
        file = read_as(home.strategies / folder / f"{strategy_id}.json", FILE, problems)
        if file is not None:
            return One(file, judged_of(home, strategy_id, problems), strategy_id, tuple(problems))
    return One(None, None, strategy_id, tuple(problems))


def one(read: One) -> View:
    """Its whole life."""
    back = Cell("All strategies", link="/strategies")
    banners = tuple(Banner(f"Cannot be read: {problem}", Tone.BAD) for problem in read.problems)
    file = read.file
    if file is None:
        unknown = Banner(f"There is no strategy {read.wanted!r} here", Tone.CAUTION)
        return View("strategies", "Strategies", (Leads((back,)),), (unknown, *banners))
    leads = (Cell("Its evidence, with charts", link=f"/evidence/{file.id}"), back) if read.judged else (back,)
    blocks = (_about(file, read.judged), _parameters(file), _history(file), _findings(read.judged), Leads(leads))
    return View("strategies", file.name, blocks, banners)


def _about(file: StrategyFile, judged: Judged | None) -> Facts:
    n, net, interval = on_paper(file)
    market = file.market
    rows = [
        ("Id", Cell(file.id)),
        ("Stage", Cell(file.stage.replace("_", " "))),
        ("Type", Cell(file.type)),
        ("Market", Cell(f"{market.get('symbol', '?')} {market.get('timeframe', '')} on {market.get('exchange', '?')}")),
        ("Thought of by", Cell(" ".join(filter(None, (file.origin.author, file.origin.model))))),
        ("Thesis", Cell(file.origin.thesis or "–")),
        ("Would refute it", Cell(file.origin.refutation or "–")),
        ("Evidence", verdict_cell(file.id, judged)),
        ("On paper", Cell("nothing yet" if n == "–" else f"{net}, n = {n}; 95 % of each {interval}")),
        ("Approved", Cell(file.approved_at or "no")),
    ]
    if file.stage == "review" and file.approved_at is None:
        rows.append(("Waits for you", Cell(f"python approve_strategy.py {file.id}", is_command=True)))
    return Facts("What it is", tuple(rows))


def _parameters(file: StrategyFile) -> Facts:
    rows = tuple((name.replace("_", " "), Cell(_told(value))) for name, value in file.parameters.items())
    return Facts("Parameters", rows or (("None", Cell("–")),))


def _told(value: JsonValue) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "–"
    if isinstance(value, dict):
        return ", ".join(f"{name} {'off' if part is None else part}" for name, part in value.items())
    return "off" if value is None else str(value)


def _history(file: StrategyFile) -> Table:
    columns = (Column("When, UTC", is_whole=True), Column("Move", is_whole=True), Column("By"), Column("Why"))
    rows = tuple(
        (
            Cell(move.at[:16].replace("T", " ")),
            Cell(f"{move.before} → {move.to}"),
            Cell(move.by),
            Cell(move.why),
        )
        for move in file.history
    )
    return Table("Life", columns, rows)


def _findings(judged: Judged | None) -> Table:
    columns = (
        Column("Question", is_whole=True),
        Column("Answer", is_whole=True),
        Column("Value", is_number=True),
        Column("Limit", is_number=True),
        Column("In words"),
    )
    rows = []
    for found in judged.findings if judged else ():
        answer = Cell("holds", Tone.GOOD, signed=True)
        if not found.passed:
            answer = (
                Cell("refuses", Tone.BAD, signed=True) if found.refuses else Cell("caution", Tone.CAUTION, signed=True)
            )
        numbers = (Cell("–" if value is None else number(value)) for value in (found.value, found.limit))
        rows.append((Cell(found.reason), answer, *numbers, Cell(found.note)))
    return Table("Every question of the gate", columns, tuple(rows), empty="never judged")
