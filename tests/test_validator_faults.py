"""Each rule catches the fault it exists for within its stated time; a short form of `benchmarks/validator.py`."""

from __future__ import annotations

import json

import pytest

from benchmarks.validator import alarm_figures, main, recorded_alarms
from benchmarks.validator_faults import FAULTS, Fault, looks_until_caught
from benchmarks.validator_outages import outages
from benchmarks.validator_stretches import Clean, clean_stretches
from tests.conftest import DATA, needs_data
from trading.domain.instrument import Market
from trading.market.checks.rules import RULES

FEW = ("perp_SOLUSDT_5m", "spot_BTCUSDT_1m_2020-03", "perp_BTCUSDT_1h", "spot_XRPUSDT_1h")
"""The outage as flat candles, the crash of March 2020, a contract's first days, the coin that moves most."""


@pytest.fixture(scope="module")
def clean() -> Clean:
    return clean_stretches(DATA)


@needs_data
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.rule}: {fault.does}")
def test_a_fault_is_caught_within_the_time_its_rule_states(fault: Fault, clean: Clean):
    looks = looks_until_caught(fault, clean)
    assert looks is not None, "never caught, or the clean stretch breaks the rule"
    assert 1 <= looks <= RULES[fault.rule].within


@needs_data
def test_real_markets_raise_less_than_one_false_alarm_a_month():
    figures = alarm_figures(recorded_alarms(DATA, FEW))
    assert figures["symbol_days"] > 4000
    assert figures["false_alarms_per_30_symbol_days"] <= 1.0
    assert all(rate <= 1.0 for rate in figures["by_file"].values())
    assert figures["by_rule"]["FLATLINE"] == {"labelled": 10, "false": 0, "noted": 0}
    assert figures["by_rule"]["LONG_GAP"]["false"] == 0, "every recorded hole has a label"


def test_no_label_covers_a_crash():
    crash_ms = 1_584_010_140_000  # 2020-03-12 10:49, minus 11 % in one minute
    assert not any(label.covers(Market.SPOT, "BTCUSDT", crash_ms, 60_000) for label in outages())


def test_without_recorded_data_the_benchmark_says_so(tmp_path, capsys):
    assert main([str(tmp_path)]) == 0
    assert "no recorded data" in json.loads(capsys.readouterr().out)["skipped"]
