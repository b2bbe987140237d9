"""One carry's account, and the desk over it."""

from __future__ import annotations

import pytest

from tests.trading.execution.fake_venue import FakeVenue
from tests.trading.execution.rig import VirtualClock
from tests.trading.funding.rig import DeskRig, settled
from trading.risk.limits import RiskLimits
from trading.storage.home import Home


@pytest.fixture
def venue() -> FakeVenue:
    return FakeVenue(VirtualClock(), history=settled())


@pytest.fixture
def rig(home: Home, venue: FakeVenue) -> DeskRig:
    return DeskRig(home, venue)


@pytest.fixture
def quick_rig(home: Home, venue: FakeVenue) -> DeskRig:
    """It opens again right after it closed."""
    return DeskRig(home, venue, RiskLimits(live_scale_pct=100, cooldown_after_fill_s=0, cooldown_after_loss_s=0))
