"""Numbers for Prometheus, and every name that a rule or a picture uses exists. A running service is asked for them in
`test_service.py`."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from ops.service.metrics import Meter, model_slippage_bps, serve_metrics, watch_lag
from ops.settings import MetricsSettings
from trading.domain.clock import Clock
from trading.domain.decisions import Decision, Reason
from trading.domain.events import Event, Severity
from trading.funding.report import CycleReport
from trading.journal.audit import AuditLine, CycleStatus
from trading.journal.bus import Bus
from trading.journal.metrics import MEASURES, Kind, Metrics
from trading.simulator.costs import CarryCosts

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "metrics.md"
HEAD = "| metric | kind | labels | what |"
OF_PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "up"}


def values(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name, with its labels in braces."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_names_carry_their_unit_and_only_counters_end_in_total() -> None:
    for measure in MEASURES:
        assert re.fullmatch(r"lab_[a-z_]+", measure.name)
        assert measure.name.endswith("_total") == (measure.kind is Kind.COUNTER), measure.name
        assert bool(measure.buckets) == (measure.kind is Kind.HISTOGRAM), measure.name
        assert measure.what.endswith("."), measure.name
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)


def test_what_nobody_measured_is_not_a_number_and_what_is_gone_is_not_shown() -> None:
    metrics = Metrics()
    assert math.isnan(values(metrics)["lab_trials"])
    metrics.gauge("lab_trials", 12)
    metrics.gauges("lab_jobs_failing", "job", {"news": 2.0})
    assert values(metrics)["lab_trials"] == 12
    assert values(metrics)["lab_jobs_failing{job=news}"] == 2
    metrics.gauges("lab_jobs_failing", "job", {})
    metrics.gauge("lab_trials", None)
    assert "lab_jobs_failing{job=news}" not in values(metrics)
    assert math.isnan(values(metrics)["lab_trials"])
    assert values(metrics)["process_resident_memory_bytes"] > 1e6


def test_events_of_the_bus_are_counted_by_name() -> None:
    metrics, bus = Metrics(), Bus()
    bus.subscribe(metrics.hear)
    for severity in (Severity.ALERT, Severity.ALERT, Severity.INFO):
        bus.publish(Event(0, "data.blocked", {}, severity))
    assert values(metrics)["lab_events_total{name=data.blocked,severity=alert}"] == 2


def line(status: CycleStatus, reason: Reason, **more: object) -> AuditLine:
    return AuditLine(1, "paper", status, reason, "abc", **more)  # type: ignore[arg-type]


def test_a_cycle_is_counted_with_its_stages_and_its_orders() -> None:
    meter = Meter(Metrics(), CarryCosts(), started_ms=0)
    done = Decision(False, Reason.NOT_ARMED, 0, 1, "")
    report = CycleReport(1, CycleStatus.NO_TRADE, done)
    meter.saw_cycle(line(CycleStatus.NO_TRADE, Reason.NOT_ARMED, stage_s={"paper": 0.02}, data_quality=90.0), report)
    order = SimpleNamespace(market=SimpleNamespace(value="spot"), quantity_base=4)
    record = SimpleNamespace(order=order, status=SimpleNamespace(value="cancelled"), filled_base=1)
    traded = CycleReport(2, CycleStatus.EXECUTED, done, orders=(record,), max_unhedged_s=1.2)  # type: ignore[arg-type]
    meter.saw_cycle(line(CycleStatus.EXECUTED, Reason.OK), traded)
    found = values(meter.metrics)
    assert found["lab_cycles_total{reason=NOT_ARMED,status=NO_TRADE}"] == 1
    assert found["lab_cycle_stage_seconds_sum{stage=paper}"] == 0.02
    assert found["lab_orders_total{market=spot,outcome=cancelled}"] == 1
    assert found["lab_order_filled_ratio_sum{market=spot}"] == 0.25
    assert found["lab_unhedged_seconds_sum"] == 1.2
    assert math.isnan(found["lab_entry_slippage_bps"])
    assert found["lab_orders_total{market=perp,outcome=filled}"] == 0, "shown before the first: a step from 0 is seen"
    assert found["lab_fills_total{market=perp}"] == 0


def test_what_the_books_differ_by_is_not_known_once_nothing_is_held() -> None:
    meter = Meter(Metrics(), CarryCosts(), started_ms=0)
    done = Decision(False, Reason.NOT_ARMED, 0, 1, "")
    differ = SimpleNamespace(error_quote=3.2)
    meter.saw_cycle(
        line(CycleStatus.NO_TRADE, Reason.HOLDING),
        CycleReport(1, CycleStatus.NO_TRADE, done, identity=differ),  # type: ignore[arg-type]
    )
    assert values(meter.metrics)["lab_identity_error_usdt"] == 3.2
    meter.saw_cycle(line(CycleStatus.NO_TRADE, Reason.NOT_ARMED), CycleReport(2, CycleStatus.NO_TRADE, done))
    assert math.isnan(values(meter.metrics)["lab_identity_error_usdt"]), "or an alert of it would never end"


def test_an_entry_is_held_against_the_model_once() -> None:
    costs = CarryCosts()
    meter = Meter(Metrics(), costs, started_ms=5)

    def cycle(opened_ms: int, worth: float) -> float:
        view = SimpleNamespace(spot_quote=worth, realised_quote=0.0, unrealised_quote=-0.1)
        position = SimpleNamespace(opened_ms=opened_ms, capital_quote=1000.0)
        report = SimpleNamespace(
            position=position, performance=view, orders=(), fills=(), max_unhedged_s=0, identity=None
        )
        meter.saw_cycle(line(CycleStatus.EXECUTED, Reason.OK), report)  # type: ignore[arg-type]
        return values(meter.metrics)["lab_entry_slippage_bps"]

    assert math.isnan(cycle(4, -0.1)), "opened before the service began"
    assert cycle(6, -0.1) == pytest.approx(2.0)
    assert cycle(6, -0.9) == pytest.approx(2.0), "a later cycle of the same position is no entry"
    assert values(meter.metrics)["lab_entry_slippage_model_bps"] == pytest.approx(model_slippage_bps(costs))
    fees = 2 * (costs.spot.taker_rate + costs.perp.taker_rate)
    assert model_slippage_bps(costs) == pytest.approx((costs.round_trip_rate - fees) / 2 * 10_000)


async def test_a_loop_that_stands_still_shows_as_lag() -> None:
    metrics, stop = Metrics(), asyncio.Event()
    watching = asyncio.create_task(watch_lag(metrics, Clock(), stop))
    await asyncio.sleep(0.05)
    subprocess.run(["sleep", "0.6"], check=True)  # noqa: ASYNC221  # the loop stands still, as it must not
    await asyncio.sleep(0.05)
    stop.set()
    await watching
    assert values(metrics)["lab_event_loop_lag_seconds_sum"] > 0.3


async def test_a_port_that_is_taken_costs_the_page_alone() -> None:
    told: list[str] = []
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with taken:
        lab = SimpleNamespace(
            meter=Meter(Metrics(), CarryCosts(), started_ms=0),
            settings=SimpleNamespace(metrics=MetricsSettings(port=taken.sockets[0].getsockname()[1])),
            tell=lambda name, facts: told.append(f"{name} {facts['error']}"),
        )
        await serve_metrics(lab, asyncio.Event())  # type: ignore[arg-type]
    assert told[0].startswith("metrics.off [Errno 98]")


def names_in(text: str) -> set[str]:
    """Every metric that a piece of PromQL names, without what a counter or a histogram adds."""
    text = re.sub(r'"[^"]*"|\{\{[^}]*\}\}|\{[^}]*\}', "", text)
    found = set(re.findall(r"\b(?:lab|process)_[a-z_]+|\bup\b", text))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def expressions() -> dict[str, str]:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    found = {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}
    for path in (ROOT / "deploy" / "grafana").glob("*.json"):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for number, target in enumerate(panel["targets"]):
                found[f"{panel['title']} {number}"] = target["expr"]
        for note in board["annotations"]["list"]:
            found[note["name"]] = note["expr"]
    return found


def test_every_metric_that_a_rule_or_a_picture_names_exists() -> None:
    known = {measure.name for measure in MEASURES} | OF_PROCESS
    for where, text in expressions().items():
        assert names_in(text), where
        assert names_in(text) <= known, where
    assert names_in("lab_no_such_thing > 1") - known, "the look finds what it looks for"


def test_every_label_that_a_rule_or_a_picture_uses_is_one_of_the_metrics() -> None:
    labels = {name for measure in MEASURES for name in measure.labels} | {"job", "le"}
    for where, text in expressions().items():
        used = set(re.findall(r"(\w+)=~?\"", text))
        for group in re.findall(r"(?:by|ignoring) \(([^)]*)\)", text):
            used |= set(re.split(r",\s*", group))
        assert used <= labels, where


def test_every_measure_has_a_picture() -> None:
    shown = set().union(*(names_in(text) for where, text in expressions().items()))
    beside = {"lab_parity_age_seconds", "lab_fills_total", "lab_model_calls", "lab_exchange_failed_ratio"}
    assert {measure.name for measure in MEASURES} - shown == beside


RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
LAG, HEDGE = "lab_event_loop_lag_seconds_bucket", "lab_unhedged_seconds_bucket"
WATCHED: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "LabGone": ("6m", {'up{job="ai-trading-lab"}': "0"}, {'up{job="ai-trading-lab"}': "1", 'up{job="other"}': "0"}),
    "LabFrozen": ("10m", {"lab_heartbeat_age_seconds": "0+60"}, {"lab_heartbeat_age_seconds": "290"}),
    "LabNeverBeat": ("31m", {"lab_heartbeat_age_seconds": "NaN"}, {"lab_heartbeat_age_seconds": "9"}),
    "LabGuardianGone": (
        "6m",
        {"lab_positions_open": "1", "lab_guardian_age_seconds": "NaN"},
        {"lab_positions_open": "0", "lab_guardian_age_seconds": "900"},
    ),
    "LabUnhedgedLong": (
        "5m",
        {HEDGE + '{le="15.0"}': "0 0 0 0 0", HEDGE + '{le="+Inf"}': "0 0 0 1 1"},
        {HEDGE + '{le="15.0"}': "0 0 0 1 1", HEDGE + '{le="+Inf"}': "0 0 0 1 1"},
    ),
    "LabBooksDiffer": ("6m", {"lab_identity_error_usdt": "-2"}, {"lab_identity_error_usdt": "NaN"}),
    "LabDataBad": ("16m", {"lab_data_quality_score": "40"}, {"lab_data_quality_score": "60"}),
    "LabDataOld": (
        "11m",
        {'lab_data_age_seconds{market="spot A"}': "5500", "lab_data_period_seconds": "3600"},
        {'lab_data_age_seconds{market="spot A"}': "3700", "lab_data_period_seconds": "3600"},
    ),
    "LabCyclesDegraded": (
        "20m",
        {'lab_cycles_total{status="DEGRADED",reason="DATA_BLOCKED"}': "0+1"},
        {'lab_cycles_total{status="NO_TRADE",reason="HOLDING"}': "0+1"},
    ),
    "LabJobFailing": ("1m", {'lab_jobs_failing{job="news"}': "6"}, {'lab_jobs_failing{job="news"}': "5"}),
    "LabParityFailed": (
        "1m",
        {'lab_parity_strategies{status="DIFFERENT"}': "1"},
        {'lab_parity_strategies{status="NOT_COMPARABLE"}': "1"},
    ),
    "LabSlippageAboveModel": (
        "1m",
        {"lab_entry_slippage_bps": "5", "lab_entry_slippage_model_bps": "2", "lab_positions_open": "1"},
        {"lab_entry_slippage_bps": "5", "lab_entry_slippage_model_bps": "2", "lab_positions_open": "0"},
    ),
    "LabExchangeSlow": ("11m", {"lab_exchange_latency_seconds": "3"}, {"lab_exchange_latency_seconds": "1"}),
    "LabClockOff": (
        "6m",
        {"lab_exchange_clock_drift_seconds": "-0.8"},
        {"lab_exchange_clock_drift_seconds": "0.3"},
    ),
    "LabWeightHigh": (
        "6m",
        {'lab_request_weight_used{budget="a"}': "5500", 'lab_request_weight_limit{budget="a"}': "6000"},
        {'lab_request_weight_used{budget="a"}': "2300", 'lab_request_weight_limit{budget="a"}': "6000"},
    ),
    "LabMessagesWait": ("31m", {"lab_messages_waiting": "11"}, {"lab_messages_waiting": "9"}),
    "LabLoopLags": (
        "20m",
        {LAG + '{le="0.25"}': "0+0", LAG + '{le="1.0"}': "0+9", LAG + '{le="+Inf"}': "0+9"},
        {LAG + '{le="0.25"}': "0+9", LAG + '{le="1.0"}': "0+9", LAG + '{le="+Inf"}': "0+9"},
    ),
    "LabMemoryHigh": (
        "16m",
        {'process_resident_memory_bytes{job="ai-trading-lab"}': "9e8"},
        {'process_resident_memory_bytes{job="other"}': "9e9"},
    ),
    "LabDiskLow": ("1m", {"lab_disk_free_bytes": "1e9"}, {"lab_disk_free_bytes": "9e9"}),
    "LabBackupOld": ("1m", {"lab_backup_age_seconds": "1400000"}, {"lab_backup_age_seconds": "700000"}),
    "LabNoBackup": ("193h", {"lab_backup_age_seconds": "NaN"}, {"lab_backup_age_seconds": "60"}),
}
"""Each alert: after how long it is looked at, numbers on which it is to fire, and others on which it is silent."""


def played(alert: str, for_: str, numbers: Mapping[str, str], *, fires: bool) -> dict[str, object]:
    """Numbers of a service, told every minute or hour, and whether that alert fires then, in the words of promtool."""
    instance = 'instance="127.0.0.1:9477"'
    series = [
        {
            "series": f"{name[:-1]},{instance}}}" if "{" in name else f"{name}{{{instance}}}",
            "values": values if " " in values else f"{values}x200" if "+" in values else f"{values}+0x200",
        }
        for name, values in numbers.items()
    ]
    firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
    sample = {"labels": "{}", "value": int(fires)}
    test = {"expr": firing, "eval_time": for_, "exp_samples": [sample]}
    return {"name": f"{alert} {fires}", "interval": f"1{for_[-1]}", "input_series": series, "promql_expr_test": [test]}


def promtool(*words: str | Path) -> None:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")


@needs_promtool
def test_promtool_takes_the_rules() -> None:
    promtool("check", "config", RULES.with_name("scrape.yml"))  # and the rules that it names


@needs_promtool
def test_every_alert_fires_when_it_should_and_is_silent_when_not(tmp_path: Path) -> None:
    named = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    assert named == set(WATCHED)
    for every in ("1m", "1h"):
        tests = [
            played(alert, for_, numbers, fires=fires)
            for alert, (for_, bad, good) in WATCHED.items()
            for fires, numbers in ((True, bad), (False, good))
            if for_[-1] == every[-1]
        ]
        sheet = {"rule_files": [str(RULES)], "evaluation_interval": every, "tests": tests}
        (tmp_path / "alerts_test.yml").write_text(yaml.safe_dump(sheet))
        promtool("test", "rules", tmp_path / "alerts_test.yml")


def test_every_alert_of_prometheus_stands_in_the_run_book() -> None:
    book = (ROOT / "docs" / "run-book.md").read_text(encoding="utf-8")
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert f"| `{rule['alert']}` |" in book
            assert rule["labels"]["severity"] in ("page", "look")


def test_the_table_of_metrics_in_the_documents_is_the_codes() -> None:
    """`LAB_WRITE_DOCS=1` writes it anew."""
    rows = [
        f"| `{one.name}` | {one.kind} | {', '.join(f'`{name}`' for name in one.labels) or '-'} | {one.what} |"
        for one in MEASURES
    ]
    table = [HEAD, "|---|---|---|---|", *rows]
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index(HEAD)
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    if os.environ.get("LAB_WRITE_DOCS"):
        PAGE.write_text("\n".join([*lines[:start], *table, *lines[end:]]) + "\n", encoding="utf-8")
        return
    assert lines[start:end] == table
