"""The lab in numbers for Prometheus: one table of what is measured, and the registry that holds the measurements.

Names follow Prometheus' practice: `lab_` first, units at the end (`_seconds`, `_bytes`, `_ratio` of 1), and `_total` on
what only counts up. A gauge that nobody has measured is not a number rather than a zero. What the process itself takes
(`process_resident_memory_bytes`, `process_cpu_seconds_total`, `process_open_fds`) comes with the client library.
This is the one file that knows it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from trading.domain.events import Event

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Kind(StrEnum):
    """What kind of number it is."""

    COUNTER = "counter"
    """Only counts up, from the start of the service."""
    GAUGE = "gauge"
    """As of now; not a number: not known."""
    HISTOGRAM = "histogram"
    """How often it was how large."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the table."""

    name: str
    kind: Kind
    what: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Of a histogram, upper ends."""


_FAST_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_STAGE_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_HEDGE_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0)
_SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.999, 1.0)

MEASURES = (
    Measure("lab_cycles_total", Kind.COUNTER, "Trading cycles by how they ended and why.", ("status", "reason")),
    Measure(
        "lab_cycle_stage_seconds",
        Kind.HISTOGRAM,
        "Real time that a stage of a cycle took; `bars` waits for a candle that is due.",
        ("stage",),
        _STAGE_S,
    ),
    Measure(
        "lab_heartbeat_age_seconds", Kind.GAUGE, "Since the heartbeat file was renewed; the watchman's limit is 300."
    ),
    Measure("lab_event_loop_lag_seconds", Kind.HISTOGRAM, "How late the loop came back to a timer.", (), _FAST_S),
    Measure("lab_tasks", Kind.GAUGE, "Tasks on the loop; a number that grows for days is a leak."),
    Measure("lab_events_total", Kind.COUNTER, "Events on the bus, as the log has them.", ("name", "severity")),
    Measure("lab_jobs_failing", Kind.GAUGE, "Failures in a row of a job that failed the last time.", ("job",)),
    Measure("lab_data_quality_score", Kind.GAUGE, "0 to 100, of the worst market that the last cycle used."),
    Measure("lab_data_age_seconds", Kind.GAUGE, "Since the newest closed candle closed, lab time.", ("market",)),
    Measure("lab_data_period_seconds", Kind.GAUGE, "Length of a candle: what the age may be without anything late."),
    Measure("lab_exchange_latency_seconds", Kind.GAUGE, "Median time to an answer of the desk's last 50 calls."),
    Measure("lab_exchange_failed_ratio", Kind.GAUGE, "Of the desk's last 50 calls, those without a usable answer."),
    Measure("lab_exchange_clock_drift_seconds", Kind.GAUGE, "This machine's clock against the exchange's."),
    Measure("lab_request_weight_used", Kind.GAUGE, "Request weight of the running minute, all processes.", ("budget",)),
    Measure("lab_request_weight_limit", Kind.GAUGE, "What the exchange allows a minute.", ("budget",)),
    Measure("lab_orders_total", Kind.COUNTER, "Orders by what became of them in their cycle.", ("market", "outcome")),
    Measure("lab_order_filled_ratio", Kind.HISTOGRAM, "Share of an order that filled.", ("market",), _SHARES),
    Measure("lab_fills_total", Kind.COUNTER, "Fills that were booked.", ("market",)),
    Measure(
        "lab_unhedged_seconds",
        Kind.HISTOGRAM,
        "Longest time without the other leg, of a cycle that traded.",
        (),
        _HEDGE_S,
    ),
    Measure(
        "lab_identity_error_usdt",
        Kind.GAUGE,
        "The books against the exchange, at the last cycle; not a number: nothing was held.",
    ),
    Measure("lab_equity_usdt", Kind.GAUGE, "Cash, positions, unrealised and funding together.", ("account",)),
    Measure("lab_positions_open", Kind.GAUGE, "Positions held live."),
    Measure(
        "lab_entry_slippage_bps",
        Kind.GAUGE,
        "What the last entry lost on both legs against the prices at the end of its cycle, fees apart, of one leg.",
    ),
    Measure(
        "lab_entry_slippage_model_bps", Kind.GAUGE, "What the backtest charges for the same: half spreads and impact."
    ),
    Measure("lab_parity_strategies", Kind.GAUGE, "Paper against its backtest, at the last nightly look.", ("status",)),
    Measure("lab_parity_age_seconds", Kind.GAUGE, "Since that look, lab time."),
    Measure("lab_trials", Kind.GAUGE, "Performances ever shown to anything that chooses: what the gate counts."),
    Measure("lab_strategies", Kind.GAUGE, "Strategies by stage.", ("stage",)),
    Measure("lab_model_spent_usd", Kind.GAUGE, "The language model, this UTC day."),
    Measure("lab_model_budget_usd", Kind.GAUGE, "What it may cost a UTC day."),
    Measure("lab_model_calls", Kind.GAUGE, "Questions to it, this UTC day."),
    Measure(
        "lab_messages_waiting",
        Kind.GAUGE,
        "Messages not delivered yet, of the channel with the most; what quiet hours hold is none.",
    ),
    Measure("lab_stop_in_force", Kind.GAUGE, "1: a stop, a kill switch or a pause; 0: none."),
    Measure("lab_armed", Kind.GAUGE, "1: a strategy is armed for live trading; 0: none."),
    Measure("lab_guardian_age_seconds", Kind.GAUGE, "Since the guardian last looked; not a number: it never did."),
    Measure("lab_backup_age_seconds", Kind.GAUGE, "Since the newest archive was written; not a number: there is none."),
    Measure("lab_disk_free_bytes", Kind.GAUGE, "Where the lab's state lies."),
)
"""Everything that is measured."""


class Metrics:
    """The measurements of one service."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, that nobody reads
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for measure in MEASURES:
            self._open(measure)

    def _open(self, measure: Measure) -> None:
        if measure.kind is Kind.COUNTER:
            counter = Counter(measure.name, measure.what, measure.labels, registry=self._registry)
            self._counters[measure.name] = counter
        elif measure.kind is Kind.HISTOGRAM:
            self._histograms[measure.name] = Histogram(
                measure.name, measure.what, measure.labels, buckets=measure.buckets, registry=self._registry
            )
        else:
            gauge = self._gauges[measure.name] = Gauge(
                measure.name, measure.what, measure.labels, registry=self._registry
            )
            if not measure.labels:
                gauge.set(math.nan)

    def hear(self, event: Event) -> None:
        """Count an event of the bus."""
        self.count("lab_events_total", name=event.name, severity=event.severity.value)

    def count(self, measure: str, by: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        counter = self._counters[measure]
        (counter.labels(**labels) if labels else counter).inc(by)

    def known(self, measure: str, **labels: str) -> None:
        """Show a counter or histogram at zero before anything was counted: Prometheus sees no step to a first one."""
        measures: dict[str, Counter | Histogram] = {**self._counters, **self._histograms}
        measures[measure].labels(**labels)

    def observe(self, measure: str, value: float, **labels: str) -> None:
        """Note one value in a histogram."""
        histogram = self._histograms[measure]
        (histogram.labels(**labels) if labels else histogram).observe(value)

    def gauge(self, measure: str, value: float | None, **labels: str) -> None:
        """Say what a gauge shows now; None: not known."""
        gauge = self._gauges[measure]
        (gauge.labels(**labels) if labels else gauge).set(math.nan if value is None else value)

    def gauges(self, measure: str, label: str, values: Mapping[str, float]) -> None:
        """Say what a gauge shows now for all that there is; what is there no longer is not shown."""
        gauge = self._gauges[measure]
        gauge.clear()
        for name, value in values.items():
            gauge.labels(**{label: name}).set(value)

    def text(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self._registry)
