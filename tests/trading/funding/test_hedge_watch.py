"""The judgement over what breaks a hedge: every finding, its consequence, and that worse is never milder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain.clock import DAY_MS, HOUR_MS, parse_iso
from trading.domain.decisions import Reason
from trading.domain.hedge import ContractTerms, ForcedKind, ForcedOrder, Listed, forced_kind
from trading.domain.instrument import Market
from trading.domain.orders import Side
from trading.funding.hedge_settings import HedgeSettings
from trading.funding.hedge_watch import (
    ENDING,
    FOREVER_MS,
    REASONS,
    Consequence,
    Finding,
    HedgeId,
    HedgeSight,
    Source,
    judge,
    leaving,
    strongest,
)

NOW_MS = parse_iso("2024-11-12T06:00:00Z")
NEVER_MS = 4_133_404_800_000
USUAL = ContractTerms(8 * HOUR_MS, 0.003, -0.003)
SETTINGS = HedgeSettings()
FORCED = ForcedOrder(
    "BTCUSDT", ForcedKind.ADL, "adl_autoclose", Side.BUY, Decimal("0.02"), Decimal("49990.5"), NOW_MS - 5_000
)
CALM = HedgeSight(
    now_ms=NOW_MS,
    symbol="BTCUSDT",
    ages_s=dict.fromkeys(Source, 0.0),
    adl_quantile=1,
    liquidation_distance=0.95,
    min_liquidation_distance=0.25,
    listed={Market.SPOT: Listed("TRADING"), Market.PERP: Listed("TRADING", NEVER_MS)},
    terms=USUAL,
    dollars={Source.OWN_DOLLAR: 0.9995, Source.SECOND_DOLLAR: 1.0004},
)


def ends(status: str = "TRADING", *, in_days: float | None = None) -> Mapping[Market, Listed]:
    end_ms = NEVER_MS if in_days is None else NOW_MS + round(in_days * DAY_MS)
    return {**CALM.listed, Market.PERP: Listed(status, end_ms)}


def dollars(own: float, second: float) -> Mapping[Source, float]:
    return {Source.OWN_DOLLAR: own, Source.SECOND_DOLLAR: second}


def changed(hours_ago: float) -> dict[str, object]:
    before_ms = NOW_MS - round(hours_ago * HOUR_MS)
    return {"terms": ContractTerms(4 * HOUR_MS, 0.02, -0.02), "terms_before": USUAL, "terms_changed_ms": before_ms}


def test_a_calm_sight_has_no_finding() -> None:
    assert judge(CALM, SETTINGS) == ()


@pytest.mark.parametrize(
    ("what", "found", "consequence"),
    [
        ({"adl_quantile": 3}, HedgeId.ADL_RANK, Consequence.TOLD),
        ({"adl_quantile": 4}, HedgeId.ADL_RANK, Consequence.TOLD),
        ({"forced": (FORCED,)}, HedgeId.FORCED_CLOSE, Consequence.FLAT),
        ({"liquidation_distance": 0.29}, HedgeId.LIQUIDATION_NEAR, Consequence.TOLD),
        ({"liquidation_distance": 0.25}, HedgeId.LIQUIDATION_NEAR, Consequence.LEAVE),
        ({"liquidation_distance": 0.1}, HedgeId.LIQUIDATION_NEAR, Consequence.FLAT),
        ({"listed": ends("SETTLING")}, HedgeId.SYMBOL_STATUS, Consequence.FLAT),
        ({"listed": ends("PENDING_TRADING")}, HedgeId.SYMBOL_STATUS, Consequence.NO_ENTRY),
        ({"listed": ends("")}, HedgeId.SYMBOL_STATUS, Consequence.NO_ENTRY),
        ({"listed": {**ends(), Market.SPOT: Listed("BREAK")}}, HedgeId.SYMBOL_STATUS, Consequence.NO_ENTRY),
        ({"listed": {**ends(), Market.SPOT: Listed("SETTLING")}}, HedgeId.SYMBOL_STATUS, Consequence.NO_ENTRY),
        ({"listed": ends(in_days=90)}, HedgeId.DELIVERY_SET, Consequence.NO_ENTRY),
        ({"listed": ends(in_days=14)}, HedgeId.DELIVERY_SET, Consequence.LEAVE),
        ({"listed": ends(in_days=1 / 24)}, HedgeId.DELIVERY_SET, Consequence.FLAT),
        (
            {"listed": {**ends(), Market.SPOT: Listed("TRADING", NOW_MS + DAY_MS)}},
            HedgeId.DELIVERY_SET,
            Consequence.LEAVE,
        ),
        (changed(23.9), HedgeId.TERMS_CHANGED, Consequence.NO_ENTRY),
        ({"dollars": dollars(0.9995, 0.994)}, HedgeId.QUOTE_DEPEG, Consequence.NO_ENTRY),
        ({"dollars": dollars(1.13, 1.01)}, HedgeId.QUOTE_DEPEG, Consequence.NO_ENTRY),
        ({"dollars": dollars(0.94, 0.93)}, HedgeId.QUOTE_DEPEG, Consequence.LEAVE),
        ({"dollars": dollars(0.90, 1.06)}, HedgeId.QUOTE_DEPEG, Consequence.NO_ENTRY),
        ({"dollars": {Source.OWN_DOLLAR: 0.5}}, HedgeId.QUOTE_DEPEG, Consequence.NO_ENTRY),
        ({"ages_s": {Source.TERMS: 900.0}}, HedgeId.SOURCE_SILENT, Consequence.TOLD),
        ({"ages_s": {Source.TERMS: 1800.0}}, HedgeId.SOURCE_SILENT, Consequence.NO_ENTRY),
        ({"ages_s": {Source.SECOND_DOLLAR: float("inf")}}, HedgeId.SOURCE_SILENT, Consequence.NO_ENTRY),
    ],
)
def test_what_is_found_and_what_follows(what: dict[str, object], found: HedgeId, consequence: Consequence) -> None:
    (finding,) = judge(replace(CALM, **what), SETTINGS)  # type: ignore[arg-type]
    assert (finding.id, finding.consequence) == (found, consequence)
    assert finding.decision.reason is REASONS[found]
    assert not finding.decision.allowed


def test_terms_that_were_changed_a_day_ago_are_the_terms() -> None:
    assert judge(replace(CALM, **changed(24)), SETTINGS) == ()  # type: ignore[arg-type]


def test_every_finding_is_one_line_with_its_numbers() -> None:
    sight = replace(CALM, adl_quantile=4, forced=(FORCED,), listed=ends("SETTLING", in_days=0.5), **changed(2))  # type: ignore[arg-type]
    sight = replace(sight, liquidation_distance=0.2, dollars=dollars(0.97, 0.96), ages_s={Source.ADL: 1200.0})
    notes = {finding.id: finding.decision.note for finding in judge(sight, SETTINGS)}
    assert notes == {
        HedgeId.ADL_RANK: "the short of BTCUSDT stands at 4 of 4 in the queue of auto-deleveraging",
        HedgeId.FORCED_CLOSE: "the exchange closed 0.02 of BTCUSDT at 49990.5 by auto-deleveraging, 05:59:55 UTC "
        "(adl_autoclose)",
        HedgeId.LIQUIDATION_NEAR: "the liquidation price of BTCUSDT is 20.0% away",
        HedgeId.SYMBOL_STATUS: "perp BTCUSDT is SETTLING: the exchange ends the contract",
        HedgeId.DELIVERY_SET: "perp BTCUSDT is to end on 2024-11-12T18:00 UTC, in 0.5 days",
        HedgeId.TERMS_CHANGED: "funding of BTCUSDT was changed: every 8 h, -0.300% to 0.300%; now every 4 h, "
        "-2.000% to 2.000%",
        HedgeId.QUOTE_DEPEG: "the quote coin is off its dollar: the exchange's book of USDC 0.9700, the second source "
        "of the dollar 0.9600",
        HedgeId.SOURCE_SILENT: "rank of auto-deleveraging could not be read for 20 minutes",
    }
    assert set(notes) == set(HedgeId)


def test_an_exit_is_allowed_with_the_numbers_of_what_asks_for_it() -> None:
    findings = judge(replace(CALM, listed=ends(in_days=3), adl_quantile=3), SETTINGS)
    found = leaving(findings)
    assert found is not None
    assert (found.allowed, found.reason, found.value, found.limit) == (True, Reason.DELIVERY_SET, 3.0, 14.0)
    assert strongest(findings, Consequence.FLAT) is None
    assert leaving(judge(replace(CALM, adl_quantile=3), SETTINGS)) is None


def test_a_rank_can_be_left_at_where_the_owner_wants_it() -> None:
    (finding,) = judge(replace(CALM, adl_quantile=4), HedgeSettings(adl_leave_quantile=4))
    assert finding.consequence is Consequence.LEAVE
    assert judge(replace(CALM, adl_quantile=4), HedgeSettings(adl_told_quantile=5)) == ()


@pytest.mark.parametrize(
    ("client_id", "kind"),
    [
        ("autoclose-1596107620040000020", ForcedKind.LIQUIDATION),
        ("adl_autoclose", ForcedKind.ADL),
        ("settlement_autoclose-1", ForcedKind.SETTLEMENT),
        ("lab-autoclose-1", None),
    ],
)
def test_the_venues_own_closings_are_known_by_their_ids(client_id: str, kind: ForcedKind | None) -> None:
    assert forced_kind(client_id) is kind


# Sights drawn at random

STATUSES = ("TRADING", "HALT", "BREAK", "PENDING_TRADING", "", *sorted(ENDING))
prices = st.floats(0.5, 1.5)
sights = st.builds(
    HedgeSight,
    now_ms=st.just(NOW_MS),
    symbol=st.just("BTCUSDT"),
    ages_s=st.fixed_dictionaries({source: st.floats(0, 4000) for source in Source}),
    adl_quantile=st.integers(0, 4),
    forced=st.sampled_from([(), (FORCED,)]),
    liquidation_distance=st.floats(0, 1),
    min_liquidation_distance=st.floats(0, 1),
    listed=st.builds(
        lambda spot, perp, end_ms: {Market.SPOT: Listed(spot), Market.PERP: Listed(perp, end_ms)},
        st.sampled_from(STATUSES),
        st.sampled_from(STATUSES),
        st.one_of(st.just(NEVER_MS), st.integers(NOW_MS - DAY_MS, FOREVER_MS)),
    ),
    terms=st.just(USUAL),
    terms_before=st.sampled_from([None, USUAL]),
    terms_changed_ms=st.integers(NOW_MS - 3 * DAY_MS, NOW_MS),
    dollars=st.builds(dollars, prices, prices),
)
wanted = st.builds(
    HedgeSettings,
    adl_told_quantile=st.integers(1, 5),
    adl_leave_quantile=st.integers(1, 5),
    liquidation_told_pct=st.floats(1, 100),
    liquidation_flat_pct=st.floats(1, 100),
    delivery_leave_days=st.floats(0.1, 100),
    delivery_flat_h=st.floats(0.1, 168),
    terms_quiet_h=st.floats(0, 72),
    depeg_entry_pct=st.floats(0.1, 20),
    depeg_leave_pct=st.floats(0.1, 20),
    silent_told_s=st.floats(1, 4000),
    silent_s=st.floats(1, 4000),
)


def levels(findings: tuple[Finding, ...]) -> dict[HedgeId, int]:
    """The strongest consequence of each finding; 0: it was not made."""
    return {found: max((f.consequence for f in findings if f.id is found), default=0) for found in HedgeId}


def worse_status(status: str) -> str:
    return {"TRADING": "HALT"}.get(status, "SETTLING")


def worse_in(what: str, sight: HedgeSight, by: float) -> HedgeSight:
    """The same sight with one number worse."""
    perp = sight.listed[Market.PERP]
    assert sight.liquidation_distance is not None
    assert sight.adl_quantile is not None
    assert perp.delivery_ms is not None
    assert sight.terms_changed_ms is not None
    if what == "rank":
        return replace(sight, adl_quantile=min(4, sight.adl_quantile + 1))
    if what == "forced":
        return replace(sight, forced=(FORCED,))
    if what == "distance":
        return replace(sight, liquidation_distance=sight.liquidation_distance * (1 - by))
    if what == "status":
        worse = Listed(worse_status(perp.status), perp.delivery_ms)
        return replace(sight, listed={**sight.listed, Market.PERP: worse})
    if what == "delivery":
        nearer = Listed(perp.status, perp.delivery_ms - round(by * (perp.delivery_ms - NOW_MS + DAY_MS)))
        return replace(sight, listed={**sight.listed, Market.PERP: nearer})
    if what == "terms":
        fresher_ms = sight.terms_changed_ms + round(by * (NOW_MS - sight.terms_changed_ms))
        return replace(sight, terms_changed_ms=fresher_ms)
    if what == "ages":
        return replace(sight, ages_s={source: age_s * (1 + by) for source, age_s in sight.ages_s.items()})
    further = {source: 1 + (price - 1) * (1 + by) for source, price in sight.dollars.items()}
    return replace(sight, dollars=further)


WORSE = ("rank", "forced", "distance", "status", "delivery", "terms", "ages", "dollars")


@given(sights, wanted, st.sampled_from(WORSE), st.floats(0, 1))
def test_worse_numbers_never_have_a_milder_consequence(
    sight: HedgeSight, settings: HedgeSettings, what: str, by: float
) -> None:
    before, after = judge(sight, settings), judge(worse_in(what, sight, by), settings)
    assert all(after_level >= levels(before)[found] for found, after_level in levels(after).items())


@given(sights, wanted, st.sets(st.sampled_from(Source), min_size=1))
def test_what_was_never_read_opens_nothing(sight: HedgeSight, settings: HedgeSettings, silent: set[Source]) -> None:
    ages_s = {source: float("inf") if source in silent else age_s for source, age_s in sight.ages_s.items()}
    known = {Source.OWN_DOLLAR, Source.SECOND_DOLLAR} - silent
    blind = replace(
        sight,
        ages_s=ages_s,
        adl_quantile=None if Source.ADL in silent else sight.adl_quantile,
        forced=() if Source.FORCED in silent else sight.forced,
        liquidation_distance=None if Source.POSITION in silent else sight.liquidation_distance,
        listed={
            market: listed
            for market, listed in sight.listed.items()
            if {Market.SPOT: Source.SPOT_STATUS, Market.PERP: Source.PERP_STATUS}[market] not in silent
        },
        terms=None if Source.TERMS in silent else sight.terms,
        dollars={source: price for source, price in sight.dollars.items() if source in known},
    )
    findings = judge(blind, settings)
    assert strongest(findings, Consequence.NO_ENTRY) is not None
    # and it closes nothing: whatever still does was known all the same
    held = [finding for finding in findings if finding.consequence >= Consequence.LEAVE]
    assert {finding.id for finding in held} <= {finding.id for finding in judge(sight, settings)}
    assert all(finding.id is not HedgeId.SOURCE_SILENT for finding in held)
