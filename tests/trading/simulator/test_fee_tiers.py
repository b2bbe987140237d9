"""Fee tiers by name: Binance's levels, the discount for BNB, and what an unknown name is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from ops.settings import read_settings
from trading.domain.errors import SettingsError
from trading.domain.instrument import Market
from trading.simulator.costs import CarryCosts, Costs
from trading.simulator.fee_tiers import TIERS, FeeSettings, fee_tier


def test_a_tier_charges_each_market_its_own_rates() -> None:
    fees = FeeSettings(tier="vip3")
    spot, perp = fees.costs(Market.SPOT), fees.costs(Market.PERP)
    assert (spot.maker_rate, spot.taker_rate) == (0.00042, 0.0006)
    assert (perp.maker_rate, perp.taker_rate) == (0.00012, 0.00032)
    assert fees.carry_costs() == CarryCosts(spot, perp)


def test_paying_in_bnb_saves_a_quarter_on_spot_and_a_tenth_on_perpetuals() -> None:
    fees = FeeSettings(tier="vip0", bnb_discount=True)
    assert fees.costs(Market.SPOT).taker_rate == pytest.approx(0.00075)
    assert fees.costs(Market.PERP).taker_rate == pytest.approx(0.00045)
    assert fees.costs(Market.PERP).maker_rate == pytest.approx(0.00018)


def test_without_a_tier_the_cautious_costs_stand() -> None:
    assert (FeeSettings().costs(Market.SPOT), FeeSettings().costs(Market.PERP)) == (Costs(), Costs())
    assert FeeSettings().carry_costs() == CarryCosts()


def test_a_discount_without_a_tier_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs a tier"):
        FeeSettings(bnb_discount=True)


def test_no_rate_rises_with_the_level_and_no_maker_pays_more_than_a_taker() -> None:
    tiers = list(TIERS.values())
    for name in ("spot_maker_rate", "spot_taker_rate", "perp_maker_rate", "perp_taker_rate"):
        rates = [getattr(tier, name) for tier in tiers]
        assert rates == sorted(rates, reverse=True)
    assert all(t.spot_maker_rate <= t.spot_taker_rate and t.perp_maker_rate <= t.perp_taker_rate for t in tiers)


@pytest.mark.parametrize(("name", "near"), [("vip10", "vip1"), ("VIP 3", "vip3"), ("regular", "vip")])
def test_an_unknown_tier_names_the_nearest(name: str, near: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"did you mean {near}"):
        fee_tier(name)
    path = tmp_path / "lab.yaml"
    path.write_text(f"fees: {{tier: {name}}}\n")
    with pytest.raises(SettingsError, match=rf"fees.tier='{name}'.*did you mean {near}"):
        read_settings(path)
