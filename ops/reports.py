"""What the lab knows -> what a person reads. Pure: numbers in, text out; pictures are in `ops/pictures`.

Rates carry n and an interval; under n = 30 they say "not enough data". A synthetic market is said on every text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import floor

from ai_brain.desk.fill_statistics import wilson
from ai_brain.evidence.gate_reasons import CHEAP
from ai_brain.ideas import IdeaReason
from ops.figures import DAY_S, age, each_on_average, figure, paid
from ops.numbers import CENT, Account, Best, Numbers, to_release
from ops.period import Gain, Period
from ops.reader import Reader
from trading.domain.counted import counted

ENOUGH = 30
"""Below this many trades or settlements a rate is not told."""
SYNTHETIC_LINE = "⚠️ SYNTHETIC MARKET: made up by a generator, not by people trading"


def hourly_report(n: Numbers) -> str:
    """The message of every full hour: equity first, then why nothing, or what, was done."""
    lines = [f"📊 Hourly Report - {Reader(n.time_zone).named(n.at_ms)}", *_market_line(n)]
    lines += account_lines(n.accounts) or ["Equity: no account yet, live or on paper"]
    lines += [f"Holds {holding.text}" for holding in n.holdings] or ["Holds nothing"]
    lines.append("Strategies: " + (", ".join(f"{count} {stage}" for stage, count in n.stages.items()) or "none yet"))
    lines.append(best_line(n.best))
    lines.append(f"Data quality {quality_words(n)}, ideas ever tried {n.ideas_tried:,}")
    lines += [f"Tuner: {words}" for words in n.tuner]
    lines.append(f"Regime: {n.regime or 'nobody has looked'}")
    lines += [decision_line(n), *standstill_line(n)]
    lines.append(f"Next: {n.next_action}")
    lines += [f"Waits for you: {to_release(n.in_force)}"] if n.in_force else []
    lines += [f"Waits for you: python approve_strategy.py {name}" for name in n.waiting_for_human]
    return "\n".join(lines)


def quality_words(n: Numbers) -> str:
    """The worst symbol's data; of several the worst by name, where it stands alone."""
    told = f"{n.data_quality:.0f}/100"
    if len(n.markets) < 2:  # of one there is no worst
        return told
    worst, second, *_ = sorted(n.markets, key=lambda one: one.quality)
    if round(worst.quality) == round(second.quality):
        return f"{told} or more, of {len(n.markets)} symbols"
    return f"{told} ({worst.symbol}; the other {len(n.markets) - 1}: {second.quality:.0f} or more)"


def heartbeat(n: Numbers) -> str:
    """The message that says the lab lives."""
    days, rest = divmod(int(n.uptime_s), 86_400)
    return "\n".join(
        [
            "💚 AI Trading Lab Heartbeat",
            *_market_line(n),
            f"Up {days} d {rest // 3600} h {rest % 3600 // 60} min, {counted(n.ideas_tried, 'idea')} tried, "
            f"{n.rss_mb:.0f} MB",
            "Last cycle: none yet" if n.last is None else f"Last cycle {_when(n)}",
            *standstill_line(n),
            *account_lines(n.accounts),
        ]
    )


def summary(n: Numbers, of: Period, *, title: str) -> str:
    """The daily or weekly summary: how things stand now, and what the days that ended brought."""
    whose = "That day" if of.span.end_ms - of.span.start_ms <= DAY_S * 1000 else "That week"
    return "\n".join(
        [
            f"📅 {title} - {of.span.title}",
            *_market_line(n),
            *account_lines(n.accounts),
            *gain_lines(whose, of.gains),
            "Strategies: " + (", ".join(f"{count} {stage}" for stage, count in n.stages.items()) or "none yet"),
            best_line(n.best),
            f"Paper against its backtest: {n.parity or 'nobody has looked'}",
            cycles_line(of),
        ]
    )


def gain_lines(whose: str, gains: Sequence[Gain]) -> list[str]:
    """A line of each account; those on paper on which nothing happened share one."""
    still = [gain for gain in gains if gain.is_none]
    if len(still) < 2:
        return [gain_line(whose, gain) for gain in gains]
    lines = [gain_line(whose, gain) for gain in gains if gain not in still]
    return [*lines, f"{whose} ({len(still)} accounts on paper): nothing happened"]


def gain_line(whose: str, gain: Gain) -> str:
    """What one account earned in a day or week, by what."""
    funding = "not known" if gain.funding_quote is None else figure(gain.funding_quote, "+,.4f")
    fees = "not known" if gain.fees_quote is None else paid(gain.fees_quote)
    return (
        f"{whose} ({gain.kind}): {figure(gain.change_quote, '+,.2f')} USDT, {figure(gain.change_fraction, '+.3%')}; "
        f"{gain.done}, funding {funding}, fees {fees}"
    )


def cycles_line(of: Period) -> str:
    """How many cycles there were, how many traded, and why the others did not."""
    if of.cycles is None:
        return "Cycles: not counted"
    if of.cycles == 0:
        return "Cycles: none, the lab did not run or decided nothing"
    why = _most(sorted(of.reasons.items(), key=lambda pair: -pair[1]))
    return f"Cycles: {of.cycles:,}, {of.traded:,} traded" + (f"; why nothing in the others: {why}" if why else "")


SHOWN = 5
"""Reasons that a message names."""


def _most(reasons: Sequence[tuple[str, int]]) -> str:
    """The commonest by name and the rest by count, so that they add up."""
    told = [*reasons[:SHOWN], *([("others", sum(count for _, count in reasons[SHOWN:]))] if reasons[SHOWN:] else [])]
    return ", ".join(f"{reason} {count:,}×" for reason, count in told)


def insights(n: Numbers, refused: Sequence[tuple[str, int]]) -> str:
    """What was learned lately: why ideas were refused."""
    because = f"Ideas refused because: {_most(refused) or 'nothing refused yet'}"
    return "\n".join(["💡 Insights", *_market_line(n), because, *_cheap_line(refused), best_line(n.best)])


def _cheap_line(refused: Sequence[tuple[str, int]]) -> list[str]:
    """How many of the refused cost no trial."""
    total = sum(count for _, count in refused)
    if total == 0:
        return []
    cheap = sum(count for reason, count in refused if reason in CHEAP or reason in set(IdeaReason))
    return [f"Before any performance was computed, so at no trial's cost: {share(cheap, total)} of the refused"]


def share(part: int, of: int) -> str:
    """A share with its n and interval (Wilson, 95 %); of fewer than `ENOUGH` only the count is told."""
    if of < ENOUGH:
        return f"{part} of {of}"
    low, high = wilson(part, of)
    return f"{part} of {of} ({part / of:.0%}, 95 % {low:.0%} to {high:.0%})"


def account_lines(accounts: Sequence[Account]) -> list[str]:
    """A line of each account; those on paper that have done nothing yet share one."""
    untouched = [account for account in accounts if account.is_untouched]
    if len(untouched) < 2:
        return [account_line(account) for account in accounts]
    lines = [account_line(account) for account in accounts if account not in untouched]
    for equity_quote, alike in Counter(account.equity_quote for account in untouched).items():
        whose = f"{counted(alike, 'account')} on paper, nothing done yet"
        lines.append(f"Equity ({whose}) {money(equity_quote)} USDT each, all cash")
    return lines


def account_line(a: Account) -> str:
    """Equity first, then what it is made of: parts that add up as they are printed, or it says that they do not."""
    earned = (
        f"since start {figure(a.change_fraction, '+.3%')}{flows_told(a)}, funding {figure(a.funding_quote, '+,.4f')}, "
        f"fees {paid(a.fees_quote)}"
    )
    if not a.parts_known:
        return f"Equity ({a.kind}) {money(a.equity_quote)} USDT, in parts that are not known: it is parked; {earned}"
    cash, held, dust, unrealised = told_parts(a)
    positions = money(held) + (f" + dust {money(dust)}" if a.dust_quote else "")
    line = (
        f"Equity ({a.kind}) {money(a.equity_quote)} USDT = cash {money(cash)} + positions {positions} + unrealised "
        f"{figure(unrealised, '+,.2f')}; {earned}"
    )
    if a.adds_up:
        return line
    missing = figure(a.parts_error_quote, "+,.2f")
    return f"{line}\n⚠️ THESE PARTS DO NOT ADD UP: {missing} USDT are in no part; do not rely on them"


def told_parts(a: Account) -> tuple[float, float, float, float]:
    """Cash, positions, dust and unrealised in whole cents that make the printed equity.

    Each is rounded down or up; those that lose most by rounding down go up. Parts that do not add up are only rounded.
    """
    parts = (a.cash_quote, a.positions_quote, a.dust_quote, a.unrealised_quote)
    if not a.adds_up:
        return parts
    down = [floor(part / CENT + 1e-9) for part in parts]
    missing = round(round(a.equity_quote, 2) / CENT) - sum(down)  # as it is printed
    lost = sorted(range(len(parts)), key=lambda n: down[n] - parts[n] / CENT)
    for n in lost[: max(0, missing)]:
        down[n] += 1
    cash, held, dust, unrealised = (cents * CENT for cents in down)
    return cash, held, dust, unrealised


def flows_told(a: Account) -> str:
    """What is not in the change since the start, by name; empty where nothing was moved."""
    told = []
    if a.flows_quote:
        told.append(f"{a.flows_quote:+,.2f} {'put in' if a.flows_quote > 0 else 'taken out'} is no profit")
    if a.unexplained_quote > 0:
        told.append(f"UNEXPLAINED flow {a.unexplained_quote:+,.2f} is no profit")
    if a.unexplained_quote < 0:
        told.append(f"UNEXPLAINED flow {a.unexplained_quote:+,.2f} counts as lost until you release it")
    return f" ({'; '.join(told)})" if told else ""


def best_line(best: Best | None) -> str:
    """The leader with n and interval, or why no rate is told."""
    if best is None:
        return "Best: none on paper yet"
    if best.n < ENOUGH:
        return f"Best: {best.name} ({best.strategy_id}): not enough data, n = {counted(best.n, best.n_of)}"
    return (
        f"Best: {best.name} ({best.strategy_id}) {figure(best.net_return_fraction, '+.3%')} net, "
        f"n = {counted(best.n, best.n_of)}, {each_on_average(best.low_fraction, best.high_fraction)}"
    )


def decision_line(n: Numbers) -> str:
    """The last decision with its rule and both numbers, and the day's top reason for none."""
    if n.last is None:
        return "Last decision: none yet"
    line = f"Last decision {_when(n)}: {n.last.status} {n.last.reason}"
    if n.last.note not in ("", n.last.reason):
        line += f" ({n.last.note})"
    if n.last.id:
        line += f", {n.last.id}"
    if n.no_trade_reasons:
        top = max(n.no_trade_reasons, key=lambda reason: n.no_trade_reasons[reason])
        line += f"; most often in 24 h: {top} {n.no_trade_reasons[top]:,}×"
    return line


def standstill_line(n: Numbers) -> list[str]:
    """That nothing is decided any more, where the last decision is older than a few cycles."""
    if n.decided_s_ago <= n.stale_after_s:
        return []
    what = "No cycle has ended since the start," if n.last is None else "The last cycle ended"
    return [f"⚠️ {what} {age(n.decided_s_ago)} ago: nothing is decided; run ./lab doctor, look at logs/ai_lab.log"]


def _when(n: Numbers) -> str:
    """When it was decided last: the hour, and of what is old the day and how long ago too."""
    if n.last is None:
        return ""
    reader = Reader(n.time_zone)
    if n.decided_s_ago <= n.stale_after_s:
        return reader.named(n.last.at_ms)
    return f"{reader.dated(n.last.at_ms)}, {age(n.decided_s_ago)} ago"


def money(value: float) -> str:
    """Two decimals, thousands apart."""
    return figure(value, ",.2f")


def _market_line(n: Numbers) -> list[str]:
    return [SYNTHETIC_LINE] if n.market == "synthetic" else []
