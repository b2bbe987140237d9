"""The day-by-day record of what strategies have shown."""

from __future__ import annotations

import json

import pytest

from ops import performance_log
from ops.performance_log import note_day, paper_totals
from tests.ops.papers import carry_in
from trading.domain.clock import parse_iso
from trading.domain.errors import StateFileError
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import with_performance

DAY_MS = 86_400_000
AT_MS = parse_iso("2026-01-22T00:00:40Z")


def days(home: Home) -> dict[str, object]:
    found: dict[str, object] = json.loads(home.performance_log.read_text())["days"]
    return found


def test_a_day_holds_what_each_has_shown_and_is_written_once(home: Home) -> None:
    silent, shown = carry_in(Stage.DRY_RUN, number=1), carry_in(Stage.DRY_RUN, number=2)
    for net in (0.01, 0.02):
        note_day(home, [silent, with_performance(shown, "dry_run", {"net_return": net})], AT_MS)
    line = {"name": shown.name, "stage": "dry_run", "dry_run": {"net_return": 0.02}}
    assert days(home) == {"2026-01-21": {shown.id: line}}, "of the day that ended, not of the one that began"
    assert StrategyRepository(home.strategies).all() == [], "it is no strategy"


def test_the_newest_year_is_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performance_log, "KEPT_DAYS", 2)
    for day in (2, 0, 1):
        note_day(home, [], AT_MS + day * DAY_MS)
    assert list(days(home)) == ["2026-01-22", "2026-01-23"]


def test_a_file_that_makes_no_sense_is_set_aside_and_told(home: Home) -> None:
    home.performance_log.write_text("{")
    with pytest.raises(StateFileError, match=r"performance_log\.json: not JSON .* set aside"):
        note_day(home, [], AT_MS)
    note_day(home, [], AT_MS)
    assert days(home) == {"2026-01-21": {}}


def test_a_file_of_an_older_lab_keeps_its_days_under_the_day_that_ended(home: Home) -> None:
    spec = carry_in(Stage.DRY_RUN)
    told = {"name": spec.name, "stage": "dry_run", "dry_run": {"fees_quote": 1.5, "funding_quote": -0.25}}
    home.performance_log.write_text(json.dumps({"schema": 1, "days": {"2026-01-21": {spec.id: told}}}))
    assert paper_totals(home, "2026-01-20", spec.id) == {"fees_quote": 1.5, "funding_quote": -0.25}
    for _ in range(2):
        note_day(home, [], AT_MS)
    assert days(home) == {"2026-01-20": {spec.id: told}, "2026-01-21": {}}
    assert paper_totals(home, "2026-01-21", spec.id) is None
