"""A cycle of the audit file, and a message, in plain words: facts, rules, both numbers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ops.reasons import MEASURES, trims, words_of
from ops.telling.measured import both
from ops.trace.live_records import CycleLine, FillLine
from trading.domain.clock import iso
from trading.notify.told import Told

STATUS = {
    "EXECUTED": "it traded",
    "NO_TRADE": "nothing was traded",
    "HALTED": "nothing may be opened",
    "DEGRADED": "it could not decide, so nothing was traded",
}
MODES = {
    "paper": "paper only: no trading keys",
    "live": "live",
    "demo": "on the sandbox, with money that is none",
}


def message_lines(told: Told) -> list[str]:
    """What was said, and when."""
    head = f"{told.id}: {told.kind} of {iso(told.at_ms)}"
    return [head + (f", about {told.key}" if told.key else ""), *(f"  | {line}" for line in told.text.splitlines())]


def cycle_lines(line: CycleLine, *, name: str, settings: str) -> list[str]:
    """One cycle.

    Args:
        line: As the audit file has it.
        name: Its id.
        settings: Hash of the settings it ran under, and whether they are still the same.
    """
    words, risk = words_of(line.reason), line.risk
    lines = [
        f"{name}: the cycle of {iso(line.at_ms)}, {MODES.get(line.mode, line.mode)}",
        f"What     {STATUS.get(line.status, line.status)} ({line.status} {line.reason})",
        f"Why      {words.says}",
    ]
    if (risk.value, risk.limit) != (0.0, 0.0):
        lines.append(f"Numbers  {_both(line.reason, risk.value, risk.limit)}{_measured(line.reason)}")
    if risk.note:
        lines.append(f"Note     {risk.note}")
    lines += [f"Rule     {_check(check)}" for check in risk.checks]
    lines += [f"Wanted   {_wanted(one)}" for one in line.proposals] or ["Wanted   no strategy wanted to trade live"]
    lines += [f"Paper    {_on_paper(one)}" for one in line.signals]
    lines += [f"Order    {_order(order)}" for order in line.orders]
    lines += [f"Fill     {_fill(fill)}" for fill in line.fills]
    lines.append(_books(line))
    lines.append(f"Market   data quality {line.data_quality:.0f} of 100, regime {line.regime or 'not looked at'}")
    if line.stage_s:
        took = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in line.stage_s.items())
        lines.append(f"Took     {took}")
    lines.append(f"Settings {settings}")
    if line.note:
        lines.append(f"Line     {line.note}")
    return [*lines, f"Do       {words.do}"]


def run_line(line: CycleLine, before: Sequence[tuple[int, str, str]]) -> str:
    """Since when the answer is the same.

    Args:
        line: The cycle.
        before: Time, status and reason of those before it, newest first.
    """
    same = 0
    while same < len(before) and before[same][1:] == (line.status, line.reason):
        same += 1
    if same == len(before):
        since = f"since {iso(before[-1][0])} or longer, {same + 1} cycles" if before else "it is the first on record"
        return f"Since    {since}"
    at_ms, status, reason = before[same]
    what = "it is the first with that answer" if same == 0 else f"since {iso(before[same - 1][0])}, {same + 1} cycles"
    return f"Since    {what}; before, at {iso(at_ms)}, it was {status} {reason}"


def _both(reason: str, value: float | str, limit: float | str) -> str:
    """In the unit of the alert about it; of a reason that has none as the file has them."""
    is_numbers = isinstance(value, float) and isinstance(limit, float)
    told = both(reason, float(value), float(limit)) if is_numbers else ""
    return told or f"{_number(value)} against a limit of {_number(limit)}"


def _number(value: float | str) -> str:
    return f"{value:.6g}" if isinstance(value, float) else value


def _measured(reason: str) -> str:
    return f": {MEASURES[reason]}" if reason in MEASURES else ""


def _check(check: Mapping[str, object]) -> str:
    reason = str(check.get("reason", "?"))
    is_allowed = check.get("allowed") is True
    value, limit = (_loose(check.get(name)) for name in ("value", "limit"))
    note = f" ({check['note']})" if check.get("note") else ""
    if trims(reason, str(check.get("note", ""))) and isinstance(value, float) and isinstance(limit, float):
        said = "allows" if is_allowed else "trims"
        return f"{said:7} {reason}: {value:,.2f} USDT a leg wanted, {limit:,.2f} USDT left{note}"
    said = "allows" if is_allowed else "FORBIDS"
    return f"{said:7} {reason}: {_both(reason, value, limit)}{_measured(reason)}{note}"


def _loose(value: object) -> float | str:
    return float(value) if isinstance(value, (int, float)) else str(value)


def _order(order: Mapping[str, object]) -> str:
    said = {key: str(value) for key, value in order.items()}
    wanted = " ".join(said.get(key, "?") for key in ("side", "quantity_base", "symbol", "market", "type"))
    filled = f"{said.get('filled_base', '?')} at {order.get('average_price') or 'no price'}"
    return f"{wanted}: {said.get('status', '?')}, filled {filled}, {said.get('client_id', '?')}"


def _wanted(proposal: Mapping[str, object]) -> str:
    type_, origin = str(proposal.get("type", "?")).replace("_", " "), proposal.get("origin", "?")
    return f"{proposal.get('strategy_id', '?')}, a {type_} by {origin}"


def _on_paper(signal: Mapping[str, object]) -> str:
    equity = signal.get("equity_quote")
    told = f"{equity:,.2f}" if isinstance(equity, (int, float)) else "not known"
    return f"{signal.get('strategy_id', '?')}: equity {told}, holds {signal.get('holding') or 'nothing'}"


def _fill(fill: FillLine) -> str:
    whose = "" if fill.ours else ", NOT OURS"
    return (
        f"{fill.side} {fill.quantity_base.normalize():f} {fill.symbol or fill.market} {fill.market} at "
        f"{fill.price.normalize():f}, fee {fill.fee.normalize():f} {fill.fee_asset}, trade {fill.venue_trade_id}{whose}"
    )


def _books(line: CycleLine) -> str:
    books = line.equity
    if books.equity_quote is None:
        return "Books    the live account was not read"
    told = f"Books    equity {books.equity_quote:,.2f}"
    if books.cash_quote is not None:
        told += f", of it cash {books.cash_quote:,.2f}"
    if books.funding_quote is not None and books.fees_quote is not None:
        told += f"; of the position funding {books.funding_quote:+,.4f}, fees {-books.fees_quote:+,.4f}"
    if books.identity_error_quote is not None:
        told += f"; exchange less books {books.identity_error_quote:+.4f}"
    return told
