"""What is open at a close, as a trade that ends there: with it, trades add up to the difference of two equities."""

from __future__ import annotations

from math import fsum

from ai_brain.paper.account import PaperAccount, PaperTrade
from ai_brain.paper.attribution import Differences, attribute
from trading.domain.market import INTERVAL_MS
from trading.simulator.replay import Replay
from trading.simulator.snapshot import as_object, number

HELD = "HELD"
"""The reason of a trade that is not over; its exit is the close of the last bar, its result is marked there."""


def equity_differences(account: PaperAccount, again: Replay, trades: list[PaperTrade]) -> Differences:
    """Paper's equity less its replay's at the replay's last close, by cause.

    Of a position that paper has gone on with since, fees and funding up to that close are not kept: they count with its
    price.

    Args:
        account: Stepped to that close at least.
        again: Its replay.
        trades: The closed ones of the replay.
    """
    last_ms, interval_ms = int(again.open_time_ms[-1]), INTERVAL_MS[account.interval]
    closed = [trade for trade in account.trades if trade.exit_ms <= last_ms]
    mine, theirs = held_on_paper(account, last_ms), held_in_replay(again, interval_ms)
    if account.last_bar_ms != last_ms:
        mine, theirs = _without_parts(mine), _without_parts(theirs)
    return attribute([*closed, *mine], [*trades, *theirs])


def held_in_replay(again: Replay, interval_ms: int) -> list[PaperTrade]:
    """What a replay holds at its last close, one trade or none."""
    held = again.held
    if held is None:
        return []
    return [
        PaperTrade(
            entry_ms=int(again.open_time_ms[held.entry_bar]),
            exit_ms=int(again.open_time_ms[-1]) + interval_ms,
            side=held.side,
            quantity_base=held.quantity_base,
            entry_price=held.entry_price,
            exit_price=0.0,
            perp_entry_price=held.perp_entry_price,
            fees_quote=held.fees_quote,
            funding_quote=held.funding_quote,
            pnl_quote=held.pnl_quote,
            reason=HELD,
        )
    ]


def held_on_paper(account: PaperAccount, bar_ms: int) -> list[PaperTrade]:
    """What an account held at the close of a bar, one trade or none; none where that mark is no longer kept.

    Raises:
        StateFileError: its book is damaged.
    """
    close_ms = bar_ms + INTERVAL_MS[account.interval]
    mark = dict(account.curve).get(close_ms)
    if mark is None:
        return []
    closed = fsum(trade.pnl_quote for trade in account.trades if trade.exit_ms <= bar_ms)
    result = mark - account.starting_quote - closed
    went_on = [trade for trade in account.trades if trade.exit_ms > bar_ms] + _open_now(account)
    changed = {"exit_ms": close_ms, "pnl_quote": result, "reason": HELD}
    return [trade.model_copy(update=changed) for trade in went_on if trade.entry_ms <= bar_ms]


def _open_now(account: PaperAccount) -> list[PaperTrade]:
    """What an account's book holds, as it was saved after its last bar; without its result."""
    where, book = f"paper account of {account.spec_id}", account.book
    saved = as_object(book.get("stepper") if account.is_carry else book, where=where)
    state = as_object(saved.get("state"), where=where)

    def of(name: str) -> float:
        return number(state, name, where=where)

    if of("quantity" if account.is_carry else "side") == 0.0:
        return []
    fees, funding = ("fees", "funding") if account.is_carry else ("trade_fees", "trade_funding")
    before = (of("fees_before"), of("funding_before")) if account.is_carry else (0.0, 0.0)
    return [
        PaperTrade(
            entry_ms=int(number(book, "entry_ms", where=where)),
            exit_ms=account.last_bar_ms or 0,
            side=0 if account.is_carry else int(of("side")),
            quantity_base=of("quantity"),
            entry_price=of("entry_spot" if account.is_carry else "entry_price"),
            exit_price=0.0,
            perp_entry_price=of("entry_perp") if account.is_carry else None,
            fees_quote=of(fees) - before[0],
            funding_quote=of(funding) - before[1],
            pnl_quote=0.0,
            reason=HELD,
        )
    ]


def _without_parts(held: list[PaperTrade]) -> list[PaperTrade]:
    return [trade.model_copy(update={"fees_quote": 0.0, "funding_quote": 0.0}) for trade in held]
