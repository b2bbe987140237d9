"""The stepper that fits a spec, new or going on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

from ai_brain.paper.account import LearnedTerms, PaperAccount
from ai_brain.paper.book import Book
from ai_brain.paper.carry_book import CarryBook
from ai_brain.paper.rule_book import RuleBook
from ai_brain.paper.settings import PaperSettings
from trading.simulator.carry_weights import CarryWeights
from trading.simulator.costs import CarryCosts, Costs, MarketRules
from trading.strategy.spec import CarryParameters, StrategySpec


def terms(
    settings: PaperSettings, rules: MarketRules, learned: LearnedTerms | None = None
) -> tuple[Costs, MarketRules]:
    """What a fill costs on paper, and the venue's rules with the larger smallest order."""
    costs = Costs(taker_rate=settings.fee_rate, maker_rate=settings.fee_rate)
    costs = costs if learned is None else costs.slipping(learned.slippage)
    return costs, replace(rules, min_notional=max(rules.min_notional, settings.min_order_usdt))


def weights_for(weights: CarryWeights, learned: LearnedTerms | None) -> CarryWeights:
    """How a carry decides on paper: with the impact that was learned before it began."""
    return weights if learned is None else weights._replace(impact_rate=learned.impact_rate)


def terms_sha256(
    spec: StrategySpec,
    settings: PaperSettings,
    rules: MarketRules,
    weights: CarryWeights,
    learned: LearnedTerms | None = None,
) -> str:
    """A hash that changes when an account would be charged, sized or, of a carry, decided in another way."""
    parts = [asdict(part) for part in terms(settings, rules, learned)]
    if isinstance(spec.parameters, CarryParameters):
        parts.append(weights_for(weights, learned)._asdict())
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def open_book(
    spec: StrategySpec, account: PaperAccount, settings: PaperSettings, rules: MarketRules, weights: CarryWeights
) -> Book:
    """Go on where the account stopped, or begin.

    Args:
        spec: The strategy.
        account: Its account; an empty `book` begins anew.
        settings: Fee and smallest order.
        rules: The venue's; the larger minimum counts.
        weights: How a carry decides.

    Raises:
        StateFileError: the account's book is of other parameters, or damaged.
    """
    costs, rules = terms(settings, rules, account.learned)
    weights = weights_for(weights, account.learned)
    if isinstance(spec.parameters, CarryParameters):
        return CarryBook(
            spec,
            costs=CarryCosts(spot=costs, perp=costs, weights=weights),
            rules=rules,
            starting_quote=account.starting_quote,
            saved=account.book,
        )
    return RuleBook(spec, costs=costs, rules=rules, starting_quote=account.starting_quote, saved=account.book)
