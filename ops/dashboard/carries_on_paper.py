"""Funding carries on paper: what the last heartbeat told of their accounts, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ops.dashboard.reading import NUMBERS, as_told
from ops.dashboard.view import Cell, Column, Table, by_sign, fine, money, percent
from ops.numbers import Account
from ops.object_file import read_object
from trading.storage.home import Home


@dataclass(frozen=True, slots=True)
class OnPaper:
    """A carry's paper account, as of the last heartbeat."""

    name: str
    """Its id, and since when it is stale."""
    holding: str
    account: Account


def read_on_paper(home: Home, problems: list[str]) -> Iterator[OnPaper]:
    """All of them; what cannot be read is added to the problems."""
    beat = as_told(read_object(home.heartbeat_file, problems), NUMBERS, str(home.heartbeat_file), problems)
    if beat is None:
        return
    held = {one.strategy_id: one.text for one in beat.holdings}
    for account in beat.accounts:
        kind, _, name = account.whose.partition(" ")
        if kind == "paper" and name.startswith("fc-"):
            yield OnPaper(account.kind.removeprefix("paper "), held.get(name, "nothing"), account)


def on_paper(carries: Sequence[OnPaper]) -> Table:
    """Their table."""
    columns = (
        Column("On paper", is_whole=True),
        Column("Holds"),
        Column("Equity", is_number=True),
        Column("Funding", is_number=True),
        Column("Fees", is_number=True),
        Column("Since start", is_number=True),
    )
    rows = tuple(
        (
            Cell(one.name),
            Cell(one.holding),
            Cell(money(one.account.equity_quote)),
            Cell(fine(one.account.funding_quote), by_sign(one.account.funding_quote)),
            Cell(fine(-one.account.fees_quote)),
            Cell(percent(one.account.change_fraction, signed=True, digits=3), by_sign(one.account.change_quote)),
        )
        for one in carries
    )
    note = "No money is in these: the simulator's own step on the live market. As of the last heartbeat."
    return Table("Carries on paper, USDT", columns, rows, empty="none", note=note)
