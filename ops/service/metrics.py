"""What the service measures, and the page of it on loopback that Prometheus reads; see `docs/metrics.md`.

Counters and histograms grow as things happen. Gauges are filled when somebody asks, so that an idle lab spends nothing.
Nothing here may end the service: a port that is taken, or a file that cannot be read, costs a number, never a cycle.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter

import structlog

from ops.service.lab import Lab
from trading.domain.clock import Clock
from trading.domain.errors import TradingEngineError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.domain.orders import OrderStatus
from trading.exchange.rate_plan import weights_used
from trading.funding.report import CycleReport
from trading.journal.audit import AuditLine, CycleStatus
from trading.journal.metrics import CONTENT_TYPE, Metrics
from trading.risk.kill_switch import read_stop
from trading.simulator.costs import CarryCosts
from trading.storage.file_age import file_age_s
from trading.strategy.lifecycle import Stage

log = structlog.get_logger(__name__)

LAG_S = 0.25
"""Real seconds between two looks at how late the loop is."""
ASK_S = 5.0
"""How long somebody may take to ask."""


class Meter:
    """Takes the numbers of every cycle; one for a service.

    Args:
        metrics: Where they go.
        costs: What a backtest charges, to hold an entry against.
        started_ms: Of the service: what was opened before is no entry of its own.
    """

    def __init__(self, metrics: Metrics, costs: CarryCosts, *, started_ms: int) -> None:
        self.metrics = metrics
        self._model_bps = model_slippage_bps(costs)
        self._newest_ms = started_ms
        """When the newest position was opened that was looked at."""
        for market in Market:
            for outcome in OrderStatus:
                metrics.known("lab_orders_total", market=market.value, outcome=outcome.value)
            metrics.known("lab_order_filled_ratio", market=market.value)
            metrics.known("lab_fills_total", market=market.value)

    def saw_cycle(self, line: AuditLine, report: CycleReport) -> None:
        """Take a cycle from what the audit file got, and from the report behind it."""
        metrics = self.metrics
        metrics.count("lab_cycles_total", status=line.status.value, reason=line.reason.value)
        for stage, seconds in line.stage_s.items():
            metrics.observe("lab_cycle_stage_seconds", seconds, stage=stage)
        metrics.gauge("lab_data_quality_score", line.data_quality)
        for record in report.orders:
            market = record.order.market.value
            metrics.count("lab_orders_total", market=market, outcome=record.status.value)
            share = float(record.filled_base / record.order.quantity_base)
            metrics.observe("lab_order_filled_ratio", share, market=market)
        for booked in report.fills:
            metrics.count("lab_fills_total", market=booked.fill.market.value)
        if report.max_unhedged_s > 0:
            metrics.observe("lab_unhedged_seconds", report.max_unhedged_s)
        identity = report.identity
        metrics.gauge("lab_identity_error_usdt", None if identity is None else float(identity.error_quote))
        if line.status is CycleStatus.EXECUTED:
            self._entry(report)

    def _entry(self, report: CycleReport) -> None:
        """What both legs of a position that was just opened are worth less than was paid, fees apart."""
        position, view = report.position, report.performance
        if position is None or view is None or position.opened_ms <= self._newest_ms:
            return
        self._newest_ms = position.opened_ms
        lost_quote = -(view.spot_quote + view.realised_quote + view.unrealised_quote)
        self.metrics.gauge("lab_entry_slippage_bps", float(lost_quote / position.capital_quote) * 10_000)
        self.metrics.gauge("lab_entry_slippage_model_bps", self._model_bps)


def model_slippage_bps(costs: CarryCosts) -> float:
    """Half spreads and impact of both legs, one way, of one leg's notional."""
    return (costs.spot.half_spread_rate + costs.perp.half_spread_rate + 2 * costs.weights.impact_rate) * 10_000


def refresh(lab: Lab, metrics: Metrics) -> None:
    """Fill the gauges with what is so now."""
    now_ms, clock = lab.clock.now_ms(), lab.clock
    settings, home = lab.settings, lab.home
    metrics.gauge("lab_heartbeat_age_seconds", file_age_s(home.heartbeat_file, clock))
    metrics.gauge("lab_guardian_age_seconds", file_age_s(home.guardian_pulse_file, clock))
    archives = sorted((home.root / "backups").glob("lab-*.tar.gz"))
    metrics.gauge("lab_backup_age_seconds", file_age_s(archives[-1], clock) if archives else None)
    metrics.gauge("lab_disk_free_bytes", shutil.disk_usage(home.root).free)
    metrics.gauge("lab_tasks", len(asyncio.all_tasks()))
    metrics.gauges("lab_jobs_failing", "job", dict(lab.failures()))
    closed = {
        f"{market} {symbol}": lab.market.last_closed_ms(market, symbol, settings.research.timeframe)
        for market, symbol in lab.instruments
    }
    ages = {market: (now_ms - at_ms) / 1000 for market, at_ms in closed.items() if at_ms is not None}
    metrics.gauges("lab_data_age_seconds", "market", ages)
    metrics.gauge("lab_data_period_seconds", INTERVAL_MS[settings.research.timeframe] / 1000)
    metrics.gauge("lab_messages_waiting", lab.outbox.late(lambda one: settings.messages.holds(one, now_ms)))
    metrics.gauge("lab_stop_in_force", read_stop(home, lab.setting.switches).blocks_entries)
    metrics.gauge("lab_armed", home.armed_file.exists())
    _research(lab, metrics, now_ms)
    _exchange(lab, metrics)


def _research(lab: Lab, metrics: Metrics, now_ms: int) -> None:
    """Ideas, strategies, paper, the model's purse."""
    memory = lab.memory
    metrics.gauge("lab_trials", lab.bench.ledger.count())
    stages = lab.repository.count_by_stage()
    metrics.gauges("lab_strategies", "stage", {stage.value: stages[stage] for stage in Stage})
    parities = Counter(parity.status.value for parity in memory.parity)
    metrics.gauges("lab_parity_strategies", "status", dict(parities))
    metrics.gauge("lab_parity_age_seconds", None if memory.parity_ms is None else (now_ms - memory.parity_ms) / 1000)
    if lab.generator is not None:
        try:
            spent = lab.generator.budget_spent()
        except TradingEngineError as error:
            log.warning("metrics.no_budget", error=str(error))
            return
        metrics.gauge("lab_model_spent_usd", spent.usd)
        metrics.gauge("lab_model_calls", spent.calls)
        metrics.gauge("lab_model_budget_usd", lab.settings.budget.usd_per_day)


def _exchange(lab: Lab, metrics: Metrics) -> None:
    """Accounts, and how the exchange answers."""
    accounts = {f"paper {position.spec_id}": position.equity_quote for position in lab.paper.positions()}
    if (live := lab.memory.live) is not None and live.equity_quote is not None:
        accounts["live"] = float(live.equity_quote)
    metrics.gauges("lab_equity_usdt", "account", accounts)
    if lab.desk is not None:
        vitals = lab.desk.vitals
        metrics.gauge("lab_positions_open", len(lab.desk.store.lives))
        metrics.gauge("lab_exchange_latency_seconds", vitals.latency_s if vitals.calls else None)
        metrics.gauge("lab_exchange_failed_ratio", vitals.failed / vitals.calls if vitals.calls else None)
        metrics.gauge("lab_exchange_clock_drift_seconds", vitals.clock_drift_s)
    weights = weights_used(lab.home.rate, lab.clock.system_ms())
    metrics.gauges("lab_request_weight_used", "budget", {name: used for name, (used, _) in weights.items()})
    metrics.gauges("lab_request_weight_limit", "budget", {name: limit for name, (_, limit) in weights.items()})


async def serve_metrics(lab: Lab, stop: asyncio.Event) -> None:
    """Answer on loopback until `stop`, where a port is set; a port that is taken is told and costs the page alone."""
    port = lab.settings.metrics.port
    if lab.meter is None or port is None:
        return
    metrics = lab.meter.metrics

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ASK_S):
                asked = await reader.readuntil(b"\r\n\r\n")
            writer.write(_response(asked, lab, metrics))
            await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # who does not finish asking gets no answer
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, "127.0.0.1", port)
    except OSError as error:
        lab.tell("metrics.off", {"port": port, "error": str(error)})
        return
    async with server:
        lab.tell("metrics.on", {"port": server.sockets[0].getsockname()[1]})
        await watch_lag(metrics, lab.clock, stop)


async def watch_lag(metrics: Metrics, clock: Clock, stop: asyncio.Event) -> None:
    """Note again and again how late the loop comes back, until `stop`."""
    while not stop.is_set():
        due_s = clock.real_s() + LAG_S
        if not await clock.real_wait_s(stop, LAG_S):
            metrics.observe("lab_event_loop_lag_seconds", max(0.0, clock.real_s() - due_s))


def _response(asked: bytes, lab: Lab, metrics: Metrics) -> bytes:
    """The one page there is; to whoever came here by a name of somebody else's, nothing."""
    request, *headers = asked.decode("latin-1").split("\r\n")
    hosts = [line.partition(":")[2].strip() for line in headers if line.lower().startswith("host:")]
    if any(host.rpartition(":")[0] not in ("127.0.0.1", "localhost") for host in hosts):
        return _page(b"403 Forbidden", b"only by 127.0.0.1 or localhost\n")
    if not request.startswith("GET /metrics "):
        return _page(b"404 Not Found", b"GET /metrics\n")
    refresh(lab, metrics)
    return _page(b"200 OK", metrics.text(), CONTENT_TYPE.encode())


def _page(status: bytes, body: bytes, kind: bytes = b"text/plain; charset=utf-8") -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, kind, len(body)) + body
