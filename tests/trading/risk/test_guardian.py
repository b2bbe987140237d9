"""What the guardian decides: every rule at both sides of its limit, and the strongest first."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from trading.domain.decisions import Reason
from trading.domain.orders import PerpPosition
from trading.risk.guardian import (
    AccountSight,
    Act,
    GuardianSettings,
    Sight,
    decide,
    is_apart,
    margin_ratio,
    may_renew,
    together,
)
from trading.risk.kill_switch import Stop, StopKind

SETTINGS = GuardianSettings()
EVEN = AccountSight(1000.0, 0.02, Decimal(0), Decimal(500), is_open=True, resting=0)
CALM = Sight(1000.0, Stop(), holds=True, under_way=False, lab_age_s=0.1, account=EVEN)
SHORT = PerpPosition(
    symbol="BTCUSDT",
    quantity_base=Decimal("-0.01"),
    entry_price=Decimal(50_000),
    mark_price=Decimal(50_000),
    unrealised_quote=Decimal(0),
    isolated_margin_quote=Decimal(500),
    liquidation_price=Decimal(99_600),
    leverage=1,
)


def test_a_lab_that_lives_with_both_legs_is_watched():
    assert decide(CALM, SETTINGS).act is Act.WATCH
    assert may_renew(CALM, SETTINGS)


@pytest.mark.parametrize(
    ("stop", "act"),
    [
        (Stop(StopKind.KILL, "KILL_SWITCH"), Act.FLATTEN),
        (Stop(StopKind.STOPPED, "TRADING_STOPPED.json"), Act.FLATTEN),
        (Stop(StopKind.STOPPED, "TRADING_STOPPED.json", keep_positions=True), Act.WATCH),
        (Stop(StopKind.PAUSED, "PAUSED"), Act.WATCH),
    ],
)
def test_only_a_stop_that_wants_flat_closes(stop: Stop, act: Act):
    verdict = decide(replace(CALM, stop=stop), SETTINGS)
    assert (verdict.act, verdict.decision.reason) == (act, stop.decision.reason)
    assert may_renew(replace(CALM, stop=stop), SETTINGS) is not stop.demands_flat


@pytest.mark.parametrize(
    ("ours", "beyond", "reason"),
    [
        ({"account": replace(EVEN, margin_ratio=0.59)}, {"account": replace(EVEN, margin_ratio=0.6)}, "MARGIN_RATIO"),
        ({"unhedged_since_s": 820.0}, {"unhedged_since_s": 819.9}, "UNHEDGED"),
        ({"under_way": True, "lab_age_s": 30.0}, {"under_way": True, "lab_age_s": 30.1}, "SAGA_ABANDONED"),
        ({"lab_age_s": 3600.0}, {"lab_age_s": 3600.1}, "LAB_SILENT"),
        ({"unhedged_since_s": 990.0, "lab_age_s": 3.0}, {"unhedged_since_s": 989.9, "lab_age_s": 3.0}, "UNHEDGED"),
        (
            {"unhedged_since_s": 970.0, "lab_age_s": 3.0, "under_way": True},
            {"unhedged_since_s": 969.9, "lab_age_s": 3.0, "under_way": True},
            "UNHEDGED",
        ),
    ],
)
def test_each_limit_is_the_labs_own_up_to_it_and_the_guardians_beyond(
    ours: dict[str, object], beyond: dict[str, object], reason: str
):
    assert decide(replace(CALM, **ours), SETTINGS).act is Act.WATCH  # type: ignore[arg-type]
    verdict = decide(replace(CALM, **beyond), SETTINGS)  # type: ignore[arg-type]
    assert verdict.act is Act.FLATTEN
    assert verdict.decision.reason is Reason(reason)
    assert decide(replace(CALM, **beyond, holds=False), SETTINGS).act is Act.WATCH  # type: ignore[arg-type]


def test_orders_that_rest_while_nobody_minds_them_are_cancelled_and_the_hedge_is_kept():
    unminded = replace(CALM, lab_age_s=31.0, account=replace(EVEN, resting=1))
    assert decide(unminded, SETTINGS).act is Act.CANCEL
    assert not may_renew(unminded, SETTINGS)
    assert decide(replace(unminded, account=EVEN), SETTINGS).act is Act.WATCH


def test_the_margin_ratio_is_one_where_the_venue_liquidates():
    assert margin_ratio(SHORT) == pytest.approx(0.008)
    near = replace(SHORT, mark_price=Decimal(99_600), isolated_margin_quote=Decimal(4))
    assert margin_ratio(near) == 1.0
    assert margin_ratio(replace(SHORT, isolated_margin_quote=Decimal(0))) == 1.0
    assert margin_ratio(replace(SHORT, quantity_base=Decimal(0))) == 0.0
    assert margin_ratio(replace(SHORT, liquidation_price=None)) == 0.0


def test_a_large_even_position_hides_no_small_one_whose_leg_is_gone():
    large = replace(EVEN, unhedged_quote=Decimal(40), larger_quote=Decimal(5000), resting=2)
    bare = AccountSight(1001.0, 0.4, Decimal(30), Decimal(30), is_open=False, resting=1)
    seen = together([large, bare], SETTINGS)
    assert is_apart(seen, SETTINGS)
    assert (seen.margin_ratio, seen.is_open, seen.resting, seen.at_s) == (0.4, True, 3, 1000.0)
    assert together([EVEN], SETTINGS) == EVEN
    assert not is_apart(together([large, EVEN], SETTINGS), SETTINGS)


def test_fees_in_coin_and_dust_are_not_apart():
    assert not is_apart(replace(EVEN, unhedged_quote=Decimal(10)), SETTINGS)
    assert is_apart(replace(EVEN, unhedged_quote=Decimal("10.1")), SETTINGS)
    large = replace(EVEN, larger_quote=Decimal(5000))
    assert not is_apart(replace(large, unhedged_quote=Decimal(100)), SETTINGS)
    assert is_apart(replace(large, unhedged_quote=Decimal(101)), SETTINGS)
