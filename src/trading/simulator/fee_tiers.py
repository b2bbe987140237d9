"""Binance's fee tiers, and the costs of a market by the tier's name; `fees` in `lab.yaml`.

Rates are fractions of notional, before any discount. Sources: USD-M taker rates are twice those of Binance's
announcement of 2026-02-02 ("50 % trading fee discount for TradFi perps", which names half the standard rate of every
level); USD-M maker and spot rates as undated tables of third parties tell them. On spot, tables disagree from VIP 3 on:
these are the dearer ones. The account's own rates are what the venue says they are (`GET /api/v3/account/commission`,
`GET /fapi/v1/commissionRate`), which is what the live carry asks.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from trading.domain.errors import SettingsError
from trading.domain.instrument import Market
from trading.simulator.costs import CarryCosts, Costs

SPOT_BNB_DISCOUNT, PERP_BNB_DISCOUNT = 0.25, 0.10
"""Share of the fee that is saved by paying it in BNB."""


@dataclass(frozen=True, slots=True)
class FeeTier:
    """What one level pays, fractions of notional."""

    spot_maker_rate: float
    spot_taker_rate: float
    perp_maker_rate: float
    perp_taker_rate: float


TIERS = {
    "vip0": FeeTier(0.00100, 0.00100, 0.00020, 0.00050),
    "vip1": FeeTier(0.00090, 0.00100, 0.00016, 0.00040),
    "vip2": FeeTier(0.00080, 0.00100, 0.00014, 0.00035),
    "vip3": FeeTier(0.00042, 0.00060, 0.00012, 0.00032),
    "vip4": FeeTier(0.00042, 0.00054, 0.00010, 0.00030),
    "vip5": FeeTier(0.00036, 0.00048, 0.00008, 0.00027),
    "vip6": FeeTier(0.00030, 0.00042, 0.00006, 0.00025),
    "vip7": FeeTier(0.00024, 0.00036, 0.00004, 0.00022),
    "vip8": FeeTier(0.00018, 0.00030, 0.00002, 0.00020),
    "vip9": FeeTier(0.00012, 0.00024, 0.00000, 0.00017),
}


def fee_tier(name: str) -> FeeTier:
    """A tier by its name.

    Raises:
        SettingsError: there is none of that name; names the nearest.
    """
    if name not in TIERS:
        near = difflib.get_close_matches(name.lower().replace(" ", ""), TIERS, n=1, cutoff=0.0)
        raise SettingsError(f"fee tier {name!r}: unknown; did you mean {near[0]}? There are {', '.join(TIERS)}")
    return TIERS[name]


def _known(name: str | None) -> str | None:
    if name is not None:
        try:
            fee_tier(name)
        except SettingsError as error:
            raise ValueError(str(error)) from error
    return name


class FeeSettings(BaseModel):
    """What backtests charge."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tier: Annotated[str | None, AfterValidator(_known)] = None
    """Binance's level, `vip0` to `vip9`. None: 0.1 % on every market; a carry's perpetual at 0.05 %."""
    bnb_discount: bool = False
    """Fees are paid in BNB: 25 % less on spot, 10 % less on perpetuals. Only together with tier."""

    @model_validator(mode="after")
    def _discount_of_something(self) -> Self:
        if self.bnb_discount and self.tier is None:
            raise ValueError("bnb_discount needs a tier to be taken off; name one")
        return self

    def costs(self, market: Market) -> Costs:
        """Of a rule strategy's market."""
        if self.tier is None:
            return Costs()
        tier, is_spot = fee_tier(self.tier), market is Market.SPOT
        kept = 1.0 - (SPOT_BNB_DISCOUNT if is_spot else PERP_BNB_DISCOUNT) * self.bnb_discount
        maker, taker = (
            (tier.spot_maker_rate, tier.spot_taker_rate) if is_spot else (tier.perp_maker_rate, tier.perp_taker_rate)
        )
        return replace(Costs(), maker_rate=kept * maker, taker_rate=kept * taker)

    def carry_costs(self) -> CarryCosts:
        """Of both legs."""
        if self.tier is None:
            return CarryCosts()
        return CarryCosts(spot=self.costs(Market.SPOT), perp=self.costs(Market.PERP))
