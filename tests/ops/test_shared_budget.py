"""Every door of the lab to an exchange takes from the budget of its home, whoever opens it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ops.environment import read_environment
from ops.settings import LabSettings, VenueSettings
from ops.venues import make_market_data, make_venue
from trading.domain.clock import Clock
from trading.exchange.access import Access
from trading.exchange.open_venue import TRADES_AT
from trading.exchange.rate_plan import RatePlan
from trading.storage.home import Home

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("exchange", ["binance", "kraken"])
def test_the_budget_lies_in_the_home_that_is_given_else_in_that_of_the_process(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: str
):
    settings = LabSettings(venue=VenueSettings.model_validate({"exchange": exchange}))
    environment, other = read_environment(home), tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("LAB_HOME", str(other))
    for make in (make_venue, make_market_data):
        for given, expected in ((home, home.state / "rate"), (None, other / "state" / "rate")):
            opened = make(settings, environment, Clock(), given)
            access: Access = opened._access  # type: ignore[attr-defined]  # nothing is sent here
            assert (access.rate, access.is_guardian) == (RatePlan(expected), False)
    guarding = make_venue(settings, environment, Clock(), home, is_guardian=True)
    access = guarding._access  # type: ignore[attr-defined]  # nor here
    assert (access.rate, access.is_guardian) == (RatePlan(home.state / "rate"), True), "the same budget, and a reserve"
    assert list(other.iterdir()) == [], "opened, not yet used"


def test_nothing_above_opens_an_exchange_by_another_way():
    opening = re.compile(r"open_account\(|open_market_data\(|\bAccess\(")
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("ops", "ai_brain")
        for path in (ROOT / folder).rglob("*.py")
        if opening.search(path.read_text())
    }
    assert found == {"ops/venues.py"}
    assert TRADES_AT == "binance"
