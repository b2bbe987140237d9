"""Gathers `Numbers` from the rooms of a running lab: the one source of every report, the heartbeat and the status."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ai_brain.desk.tuner import Adjustment
from ai_brain.paper.outcome import PaperPosition
from ai_brain.paper.parity import Parity, ParityStatus
from ops.figures import age, figure
from ops.numbers import Account, Best, Holding, MarketData, Numbers
from ops.resident import peak_rss_mb
from ops.service.lab import Lab
from trading.domain.counted import counted
from trading.funding.report import CycleReport
from trading.risk.kill_switch import read_stop
from trading.strategy.lifecycle import ALIVE, Stage
from trading.strategy.spec import StrategySpec, StrategyType

STALE_CYCLES = 3
"""Cycles after which the live account's last reading, and the last decision, are told as old."""
STALE_BARS = 2
"""Bars after which a paper account's last mark is told as old."""


def gather(lab: Lab) -> Numbers:
    """Everything one report needs, now."""
    now_ms = lab.clock.now_ms()
    specs = lab.repository.living()
    live = lab.memory.live
    accounts = [live_account(lab, live)] if live is not None and live.equity_quote is not None else []
    accounts += [paper_account(lab, position) for position in lab.paper.positions()]
    return Numbers(
        at_ms=now_ms,
        market=lab.setting.market,
        accounts=tuple(accounts),
        holdings=tuple(holdings(lab, live)),
        stages={stage.value: count for stage, count in sorted(lab.repository.count_by_stage().items())},
        best=best(lab, specs),
        data_quality=lab.memory.quality,
        markets=tuple(market_data(lab, now_ms)),
        last=lab.memory.last,
        no_trade_reasons=dict(lab.memory.no_trade_reasons(now_ms)),
        next_action=next_action(lab, specs),
        in_force=in_force(lab),
        waiting_for_human=tuple(s.id for s in specs if s.stage is Stage.REVIEW and s.approved_at is None),
        uptime_s=(now_ms - lab.memory.started_ms) / 1000.0,
        ideas_tried=lab.bench.ledger.count(),
        rss_mb=peak_rss_mb(),
        time_zone=lab.settings.messages.time_zone,
        stale_after_s=stale_after_s(lab),
        errors=lab.memory.errors,
        regime=str(lab.memory.regime),
        living=lab.memory.living,
        tuner=tuple(tuner_words(adjustment) for adjustment in lab.memory.tuned),
        parity="" if lab.memory.parity_ms is None else parity_words(lab.memory.parity),
    )


def market_data(lab: Lab, now_ms: int) -> Iterator[MarketData]:
    """How the data of each symbol are, as the last cycle found them."""
    interval = lab.settings.research.timeframe
    for symbol in lab.symbols:
        closed = [lab.market.last_closed_ms(*key, interval) for key in lab.instruments if key[1] == symbol]
        ages_s = [(now_ms - at_ms) / 1000.0 for at_ms in closed if at_ms is not None]
        is_known = len(ages_s) == len(closed) > 0
        yield MarketData(symbol, lab.memory.qualities.get(symbol, 0.0), max(ages_s) if is_known else None)


def tuner_words(adjustment: Adjustment) -> str:
    """One adjustment with its rule and both numbers, and what rests while it holds."""
    does = f"{', '.join(sorted(adjustment.rests))} rest" if adjustment.rests else "advice only"
    return f"{adjustment.rule} {adjustment.value:.2f} against {adjustment.limit:.2f}, {does}: {adjustment.note}"


def parity_words(found: Sequence[Parity]) -> str:
    """A night's comparison: how many were the same, and each that was not with its reason."""
    if not found:
        return "no paper account"
    same = sum(parity.status is ParityStatus.SAME for parity in found)
    words = [f"{same} of {len(found)} the same to the bit"]
    for parity in found:
        if parity.status is ParityStatus.DIFFERENT:
            numbers = f"paper {parity.paper!r}, backtest {parity.backtest!r}"
            words.append(f"{parity.strategy_id} DIFFERS in {parity.why}: {numbers}")
        elif parity.status is ParityStatus.NOT_COMPARABLE:
            words.append(f"{parity.strategy_id} not comparable: {parity.why}")
        elif parity.why:
            words.append(f"{parity.strategy_id} {parity.why}")
    return "; ".join(words)


def live_account(lab: Lab, report: CycleReport) -> Account:
    """The exchange's account as the last cycle read it."""
    equity, cash = float(report.equity_quote or 0), float(report.cash_quote or 0)
    unrealised = sum(float(one.account.unrealised_quote) for one in report.held if one.account is not None)
    # Not what the equity leaves over: a sum that cannot fail would check nothing.
    positions = sum(
        float(one.performance.spot_base * one.account.spot_price)
        for one in report.held
        if one.performance is not None and one.account is not None
    )
    dust = sum(float(one.dust.quote) for one in report.symbols.values() if one.dust is not None)
    funding, fees = live_totals(lab, report)
    kind = "live" if lab.settings.venue.base_url is None else "live (sandbox)"
    return Account(
        kind=kind + _age_told(lab, report.at_ms, fresh_s=stale_after_s(lab), is_live=True),
        equity_quote=equity,
        cash_quote=cash,
        positions_quote=positions,
        unrealised_quote=unrealised,
        funding_quote=funding,
        fees_quote=fees,
        start_quote=lab.memory.live_start_quote,
        dust_quote=dust,
        flows_quote=lab.memory.live_flows_quote - lab.memory.live_start_flows_quote,
        unexplained_quote=lab.memory.live_unexplained_quote,
    )


def live_totals(lab: Lab, report: CycleReport) -> tuple[float, float]:
    """Funding and fees of every position the lab ever held live, quote."""
    closed = lab.desk.store.closed if lab.desk is not None else ()
    funding = sum(float(position.funding_quote) for position in closed)
    fees = sum(float(position.fees_quote) for position in closed)
    for one in report.held:
        if one.performance is not None:
            funding += float(one.performance.funding_quote)
            fees += float(one.performance.fees_quote)
    return funding, fees


def stale_after_s(lab: Lab) -> float:
    """From then on what a cycle read or decided is told as old."""
    return STALE_CYCLES * lab.settings.service.loop_s


def _age_told(lab: Lab, at_ms: int, *, fresh_s: float, is_live: bool = False) -> str:
    """Words for an account's kind: nothing while it is fresh, else since when it is not."""
    age_s = (lab.clock.now_ms() - at_ms) / 1000.0
    if age_s <= fresh_s:
        return ""
    is_stopped = is_live and read_stop(lab.home, lab.setting.switches).demands_flat
    what = "not read while stopped" if is_stopped else "STALE"
    return f", {what}, as of {lab.settings.messages.reader.dated(at_ms)}, {age(age_s)} old"


def paper_account(lab: Lab, position: PaperPosition) -> Account:
    """One strategy's paper account."""
    fresh_s = STALE_BARS * position.interval_ms / 1000.0
    return Account(
        kind=f"paper {position.spec_id}{_age_told(lab, position.marked_ms, fresh_s=fresh_s)}",
        equity_quote=position.equity_quote,
        cash_quote=position.equity_quote if position.cash_quote is None else position.cash_quote,
        positions_quote=position.positions_quote,
        unrealised_quote=position.unrealised_quote,
        funding_quote=position.funding_quote,
        fees_quote=position.fees_quote,
        start_quote=position.starting_quote,
        parts_known=position.cash_quote is not None,
    )


def holdings(lab: Lab, live: CycleReport | None) -> Iterator[Holding]:
    """What is held, live first."""
    for one in live.symbols.values() if live is not None else ():
        view = one.performance
        if one.position is not None and view is not None:
            text = (
                f"carry {one.symbol}: spot {view.spot_base.normalize():f}, perpetual "
                f"{view.perp_base.normalize():f}, funding {figure(float(view.funding_quote), '+.4f')} USDT over "
                f"{counted(view.settlements, 'settlement')}, profit {figure(float(view.profit_quote), '+.4f')} USDT"
            )
            yield Holding(one.position.spec_id, text)
        if one.dust is not None:
            yield Holding("", str(one.dust))
    for position in lab.paper.positions():
        if position.holding:
            yield Holding(position.spec_id, f"on paper {position.holding}")


def best(lab: Lab, specs: Sequence[StrategySpec]) -> Best | None:
    """The paper account that is ahead, with what its rate is worth; a retired strategy leads nothing."""
    shown = [(spec, lab.paper.performance(spec.id)) for spec in specs if spec.stage in ALIVE]
    ranked = sorted(((p.net_return, spec.id, spec, p) for spec, p in shown if p is not None), reverse=True)
    if not ranked:
        return None
    _, _, leader, performance = ranked[0]
    return Best(
        strategy_id=leader.id,
        name=leader.name,
        net_return_fraction=performance.net_return,
        n=performance.results,
        n_of="settlement" if leader.type is StrategyType.FUNDING_CARRY else "trade",
        low_fraction=performance.mean_low,
        high_fraction=performance.mean_high,
    )


def in_force(lab: Lab) -> tuple[str, ...]:
    """What forbids live entries until a human releases it: the stop, by its switch, then the halts, by their reason."""
    stop = read_stop(lab.home, lab.setting.switches)
    halts = lab.desk.counters.memory.halts if lab.desk is not None else ()
    named = [f"{halt.reason} {halt.subject}".rstrip() for halt in halts]
    return (*([stop.source] if stop.blocks_entries else []), *named)


def next_action(lab: Lab, specs: Sequence[StrategySpec]) -> str:
    """What comes next, in words."""
    stages = {spec.stage for spec in specs}
    if lab.desk is not None and in_force(lab):
        return "nothing is opened live until what is in force is released"
    if any(spec.stage is Stage.REVIEW and spec.approved_at is None for spec in specs):
        return "your decision on what waits for approval"
    if Stage.LIVE_TESTING in stages or Stage.SCALING in stages:
        return "the next live cycle"
    if Stage.REVIEW in stages:
        return "python go_live.py, when you mean it"
    if Stage.DRY_RUN in stages:
        return "paper trading goes on"
    return "new ideas and their backtests"
