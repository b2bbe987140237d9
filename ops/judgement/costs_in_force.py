"""What a fill is charged, with all that is known: the settings' fees, the fitted law, and what own fills have taught.

The one place where backtests and the live carry's decision get their costs from. A backtest is charged what is assumed
and told with both ends of the interval; the decision weighs the dear end. Paper accounts keep the terms they began
with.
"""

from __future__ import annotations

from dataclasses import replace

from ai_brain.desk.fill_statistics import Measured, believed
from ai_brain.desk.learned_file import read_learned
from ai_brain.desk.learned_fills import LearnedFills, LearnedRatio
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.verdict import SlippageEnd, SlippageEnds
from ai_brain.paper.account import LearnedTerms
from ops.settings import LabSettings
from trading.domain.instrument import Market
from trading.domain.venue import ExchangeName
from trading.exchange.open_venue import TAKER_PCT, TRADES_AT
from trading.funding.carry_settings import CarrySettings
from trading.simulator.costs import FITTED_K_SOURCE, Costs, MarketRules
from trading.storage.home import Home
from trading.strategy.spec import CarryParameters, StrategySpec

MOST_IMPACT_BPS = 100.0
"""As `carry.impact_bps` allows."""


def conditions_for(home: Home, settings: LabSettings, spec: StrategySpec, rules: MarketRules) -> Conditions:
    """What a backtest of a spec is charged, with the interval of its slippage.

    Raises:
        StateFileError: what was learned cannot be read; the file has been set aside.
    """
    learned, start = _learned_of(home, spec), Conditions(rules=rules).starting_quote
    legs = [_end(ratio, start) for ratio in _ratios(learned, spec)]
    ends = _ends(learned, *legs)
    if isinstance(spec.parameters, CarryParameters):
        plain, (spot, perp) = settings.carry_costs(), (leg.charged for leg in legs)
        weights = carry_in_force(settings, learned, spec.market.native_symbol).weights()
        costs = replace(plain, spot=plain.spot.slipping(spot), perp=plain.perp.slipping(perp), weights=weights)
        return Conditions(rules=rules, carry_costs=costs, slippage=ends)
    charged = _rule_costs(settings, spec.market.exchange, spec.market.market).slipping(legs[0].charged)
    return Conditions(rules=rules, costs=charged, slippage=ends)


def paper_terms(home: Home, settings: LabSettings, spec: StrategySpec) -> LearnedTerms | None:
    """What a paper account that begins now takes of what was learned; None: nothing that changes anything.

    Both legs of a carry are charged alike on paper: as the dearer one.

    Raises:
        StateFileError: what was learned cannot be read; the file has been set aside.
    """
    learned = _learned_of(home, spec)
    if learned is None:
        return None
    slippage = max(ratio.charged_for(settings.paper.starting_usdt) for ratio in _ratios(learned, spec))
    impact_bps = carry_in_force(settings, learned, spec.market.native_symbol).impact_bps
    if slippage == 1.0 and impact_bps == settings.carry.impact_bps:
        return None
    return LearnedTerms(slippage=slippage, impact_rate=impact_bps / 10_000, version=learned.version)


def prior_of(market: str, symbol: str) -> LearnedRatio:
    """What is believed of a market before its first fill."""
    belief = believed(Measured(0, 0, None, None))
    return LearnedRatio(
        market=market,
        symbol=symbol,
        n=0,
        sagas=0,
        is_enough=False,
        measured=None,
        ratio=belief.ratio,
        low=belief.low,
        high=belief.high,
        assumed=belief.ratio,
        large_quote=0.0,
        since_ms=0,
    )


def carry_in_force(settings: LabSettings, learned: LearnedFills | None, *symbols: str) -> CarrySettings:
    """The carry's settings with the impact that own fills have shown: the dear end, of the dearest leg of all symbols.

    A leg of which not enough is known, or that is cheap in smaller orders than a slice, counts as the settings have it,
    and so no cheap leg hides a dear one.
    """
    carry = settings.carry
    if learned is None:
        return carry
    legs = [learned.impact_of(market.value, symbol) for symbol in symbols for market in Market]
    dear = max((_dear_end(leg, settings.execution.slice_usdt) for leg in legs), default=1.0)
    return carry.model_copy(update={"impact_bps": min(carry.impact_bps * dear, MOST_IMPACT_BPS)})


def _rule_costs(settings: LabSettings, exchange: ExchangeName, market: Market) -> Costs:
    """Of a rule strategy before its slippage: by the tier of the settings where the lab trades.

    The tiers are of that exchange; another charges what paper is charged there, and an account without volume at least.
    """
    if exchange == TRADES_AT:
        return settings.fees.costs(market)
    rate = max(settings.paper.fee_rate, TAKER_PCT[exchange] / 100.0)
    return Costs(taker_rate=rate, maker_rate=rate)


def _dear_end(leg: LearnedRatio | None, notional_quote: float) -> float:
    if leg is None:
        return 1.0
    dear = max(leg.high if leg.is_enough else 1.0, leg.assumed)
    return dear if notional_quote <= leg.large_quote else max(1.0, dear)


def _learned_of(home: Home, spec: StrategySpec) -> LearnedFills | None:
    """What was learned where the lab trades; of another exchange it says nothing."""
    return read_learned(home) if spec.market.exchange == TRADES_AT else None


def _ratios(learned: LearnedFills | None, spec: StrategySpec) -> list[LearnedRatio]:
    """What is believed of a spec's markets, of a carry spot first; the prior where nothing was learned."""
    is_carry, symbol = isinstance(spec.parameters, CarryParameters), spec.market.native_symbol
    sides = (Market.SPOT, Market.PERP) if is_carry else (spec.market.market,)
    known = [learned.ratio_of(side.value, symbol) if learned is not None else None for side in sides]
    return [found or prior_of(side.value, symbol) for found, side in zip(known, sides, strict=True)]


def _ends(learned: LearnedFills | None, *legs: SlippageEnd) -> SlippageEnds:
    """Both ends of each leg's interval, and where it comes from."""
    prior = "k's spread over the recorded sources"
    told = [f"{leg.n} own orders of {leg.market}" if leg.is_enough else prior for leg in legs]
    told += [f"{leg.n} own orders of {leg.market} are not enough data" for leg in legs if leg.n and not leg.is_enough]
    told += [] if learned is None else [learned.version]
    return SlippageEnds(legs=legs, source="; ".join([*dict.fromkeys(told), FITTED_K_SOURCE]))


def _end(ratio: LearnedRatio, notional_quote: float) -> SlippageEnd:
    """As factors on what is charged, which lies inside: at the dear end after a fall, at the estimate after a rise."""
    charged = ratio.charged_for(notional_quote)
    return SlippageEnd(
        market=ratio.market,
        n=ratio.n,
        is_enough=ratio.is_enough,
        charged=charged,
        low=min(ratio.low / charged, 1.0),
        high=max(ratio.high / charged, 1.0),
    )
