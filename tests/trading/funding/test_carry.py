"""The carry enters when the horizon pays for the round trip, and leaves for a reason, not for a sign."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.trading.funding.rig import EIGHT_HOURS_MS, LAST_SETTLEMENT_MS, carry_parameters, settled
from trading.domain.decisions import Reason
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import FundingNow, FundingRate, Quote
from trading.domain.orders import FeeTier
from trading.funding.carry import CarryMarket, Held, check_market, decide_entry, decide_exit, outlook
from trading.funding.carry_settings import CarrySettings
from trading.funding.look import judge_market
from trading.funding.rates import apr, horizon_funding
from trading.market.validator_rules import ValidatorSettings
from trading.simulator.carry_weights import CarryWeights

SETTINGS = CarrySettings()
NOW = LAST_SETTLEMENT_MS + 3_600_000


def market(rate: float = 0.0003, **changes: object) -> CarryMarket:
    plain = CarryMarket(
        now_ms=NOW,
        spot=Quote(Market.SPOT, "BTCUSDT", 49_999.5, 50_000.5, 1, 1, NOW - 500),
        perp=Quote(Market.PERP, "BTCUSDT", 50_009.5, 50_010.5, 1, 1, NOW - 900),
        funding=FundingNow("BTCUSDT", rate, NOW + 1, EIGHT_HOURS_MS, 0.003, 50_010, 50_000, NOW),
        settled=tuple(settled(rate)),
        spot_fees=FeeTier(0.001, 0.001),
        perp_fees=FeeTier(0.0002, 0.0005),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_the_round_trip_is_all_four_legs_at_the_accounts_own_fees() -> None:
    # 2 x 0.1 % spot, 2 x 0.05 % contract, one whole spread of each, four impacts of 0.5 bp.
    expected = 0.003 + 1 / 50_000 + 1 / 50_010 + 4 * 0.00005
    assert market().round_trip_rate(0.00005) == pytest.approx(expected)


def test_the_note_of_an_entry_tells_when_the_round_trip_is_earned() -> None:
    verdict = decide_entry(market(), carry_parameters(), SETTINGS)
    assert verdict.allowed
    days = outlook(market(), SETTINGS).break_even_days
    assert days == pytest.approx(0.00324 / (0.0009 * 0.995), rel=0.01)  # three settlements of 0.03 % a day, less doubt
    assert f"earned back in {days:.1f} days" in verdict.note


def test_the_expected_rate_is_told_with_its_n_and_interval_or_that_there_is_not_enough_for_one() -> None:
    whole = market()
    view = outlook(whole, SETTINGS)
    low, high = view.expected_apr - 1.96 * view.error_apr, view.expected_apr + 1.96 * view.error_apr
    note = decide_entry(whole, carry_parameters(), SETTINGS).note
    assert f"before doubt, n = 90 settlements, 95 % {low:.2%} to {high:.2%})" in note
    few = decide_entry(replace(whole, settled=whole.settled[-25:]), carry_parameters(), SETTINGS).note
    assert "n = 25 settlements, not enough data for an interval" in few


@pytest.mark.parametrize(
    ("changes", "parameters", "reason"),
    [
        ({"rate": 0.00005}, {}, Reason.FUNDING_TOO_LOW),
        ({"rate": 0.00008}, {"entry_apr_pct": 5.0}, None),
        ({"spot_fees": FeeTier(0.02, 0.02)}, {}, Reason.COST_ABOVE_EXPECTED),
        ({"perp": Quote(Market.PERP, "BTCUSDT", 50_300, 50_301, 1, 1, NOW)}, {}, Reason.BASIS_TOO_WIDE),
        ({"perp": Quote(Market.PERP, "BTCUSDT", 49_700, 49_701, 1, 1, NOW)}, {}, Reason.BASIS_TOO_WIDE),
        ({"spot": Quote(Market.SPOT, "BTCUSDT", 50_000, 50_001, 1, 1, NOW - 61_000)}, {}, Reason.QUOTE_STALE),
        ({"spot": Quote(Market.SPOT, "BTCUSDT", 50_002, 50_001, 1, 1, NOW)}, {}, Reason.DATA_BLOCKED),
        ({"spot": Quote(Market.SPOT, "BTCUSDT", 0, 50_001, 1, 1, NOW)}, {}, Reason.DATA_BLOCKED),
        (
            {"funding": FundingNow("BTCUSDT", 0.004, NOW, EIGHT_HOURS_MS, 0.003, 50_000, 50_000, NOW)},
            {},
            Reason.FUNDING_IMPLAUSIBLE,
        ),
    ],
)
def test_every_refusal_of_an_entry(
    changes: dict[str, object], parameters: dict[str, float], reason: Reason | None
) -> None:
    rate = float(str(changes.pop("rate", 0.0003)))
    verdict = decide_entry(market(rate, **changes), carry_parameters(**parameters), SETTINGS)
    assert (verdict.reason is reason) if reason else verdict.allowed
    assert verdict.allowed or verdict.value != verdict.limit


def test_one_bad_settlement_is_held_through() -> None:
    history = (*settled(0.0003)[1:], FundingRate("BTCUSDT", LAST_SETTLEMENT_MS + 1000, -0.0004, None))
    now = market(0.0003, settled=history)
    now = replace(now, funding=replace(now.funding, rate=-0.0004))
    verdict = decide_exit(now, carry_parameters(), Held(0, 30, 0.9), SETTINGS)
    assert (verdict.allowed, verdict.reason) == (False, Reason.HOLDING)


def test_a_horizon_whose_expectation_is_gone_is_left() -> None:
    verdict = decide_exit(market(-0.0002), carry_parameters(), Held(0, 30, 0.9), SETTINGS)
    assert (verdict.allowed, verdict.reason) == (True, Reason.EXPECTATION_NEGATIVE)


def test_low_funding_does_not_end_it_before_the_minimum_of_settlements() -> None:
    verdict = decide_exit(market(-0.0002), carry_parameters(min_hold_fundings=9), Held(0, 8, 0.9), SETTINGS)
    assert (verdict.allowed, verdict.value, verdict.limit) == (False, 8, 9)


def test_danger_ends_it_before_the_minimum_of_settlements() -> None:
    parameters = carry_parameters(min_hold_fundings=9)
    near = decide_exit(market(), parameters, Held(0, 0, 0.2), SETTINGS)
    assert (near.allowed, near.reason) == (True, Reason.LEVERAGE)
    wide = market(perp=Quote(Market.PERP, "BTCUSDT", 50_900, 50_901, 1, 1, NOW))
    assert decide_exit(wide, parameters, Held(0, 0, None), SETTINGS).reason is Reason.BASIS_TOO_WIDE


def expected(rates: list[FundingRate], present: float = 0.0001, hours: float = 720.0) -> float:
    now_ms = rates[-1].time_ms + 60_000
    weights = CarryWeights(horizon_hours=hours)
    return horizon_funding(rates, present, EIGHT_HOURS_MS, now_ms=now_ms, weights=weights)[0]


def test_the_interval_is_data() -> None:
    assert apr(0.0001, EIGHT_HOURS_MS) == pytest.approx(0.1095)
    assert apr(0.0001, EIGHT_HOURS_MS // 8) == pytest.approx(0.876)
    hourly = [FundingRate("X", LAST_SETTLEMENT_MS + i * 3_600_000, 0.0001, None) for i in range(80)]
    assert expected(hourly, 0.0008) == pytest.approx(0.0001 * 8760)
    changed = [
        *hourly,
        *(FundingRate("X", hourly[-1].time_ms + (i + 1) * EIGHT_HOURS_MS, 0.0008, None) for i in range(5)),
    ]
    assert expected(changed, 0.0008) == pytest.approx(0.0001 * 8760)


def test_the_present_estimate_fades_into_the_mean() -> None:
    mean = sum(rate.rate for rate in settled(0.0001)) / 90
    soon, later = (expected(settled(0.0001), 0.001, hours) for hours in (8, 8000))
    assert soon == pytest.approx(0.001 * 3 * 365)
    assert later == pytest.approx(mean * 3 * 365, rel=0.03)


def test_history_that_is_too_short_or_not_in_order_is_not_decided_on() -> None:
    short = market(settled=tuple(settled(count=2)))
    verdict = decide_entry(short, carry_parameters(), SETTINGS)
    assert (verdict.allowed, verdict.reason, verdict.limit) == (False, Reason.DATA_UNAVAILABLE, 3.0)
    assert verdict.note == "2 settled rates over 0.4 days are too few to expect anything of"
    with pytest.raises(DataProviderError, match="does not rise"):
        expected([*settled(count=30), settled(count=3)[0]])


def test_what_is_held_leaves_danger_though_too_little_is_known_to_expect_anything() -> None:
    short, parameters = market(settled=tuple(settled(count=2))), carry_parameters(exit_apr_pct=5.0)
    stays = decide_exit(short, parameters, Held(0, 30, 0.9), SETTINGS)
    assert (stays.allowed, stays.reason, stays.value) == (False, Reason.HOLDING, 30.0)
    assert decide_exit(short, parameters, Held(0, 30, 0.2), SETTINGS).reason is Reason.LEVERAGE
    wide = replace(short, perp=Quote(Market.PERP, "BTCUSDT", 50_900, 50_901, 1, 1, NOW))
    assert decide_exit(wide, parameters, Held(0, 30, 0.9), SETTINGS).reason is Reason.BASIS_TOO_WIDE


def test_the_kernels_defaults_are_those_of_the_settings() -> None:
    assert CarrySettings().weights() == CarryWeights()


def test_fresh_quotes_within_the_cap_are_fit_to_trade_on() -> None:
    assert check_market(market(), SETTINGS).allowed


def test_each_price_is_held_against_another_source() -> None:
    fit = market()
    assert judge_market(fit, {}, ValidatorSettings()).quality == 100
    spot = replace(fit.spot, bid=51_599.5, ask=51_600.5)  # 3.2 % over the contract, which agrees with its index
    index = replace(fit.funding, index_price=51_600, mark_price=51_600)
    for changes, where in (({"spot": spot}, "spot BTCUSDT quote"), ({"funding": index}, "perp BTCUSDT quote")):
        data = judge_market(market(**changes), {}, ValidatorSettings())
        assert [finding.where for finding in data.findings] == [where]
        verdict = check_market(market(**changes, data=data), SETTINGS)
        assert (verdict.reason, verdict.limit) == (Reason.DATA_BLOCKED, 3.0)
