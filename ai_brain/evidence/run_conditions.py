"""Under which conditions a spec is run: the venue's rules, what a fill costs, the starting equity."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ai_brain.evidence.verdict import SlippageEnds
from trading.simulator.costs import CarryCosts, Costs, MarketRules


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which a stretch is run."""

    rules: MarketRules
    costs: Costs = field(default_factory=Costs)
    """Of a rule strategy."""
    carry_costs: CarryCosts = field(default_factory=CarryCosts)
    starting_quote: float = 10_000.0
    entry_delay_bars: int = 0
    slippage: SlippageEnds | None = None
    """How well the slippage in the costs is known; None: they are given, not estimated."""

    def slipping(self, *ratios: float) -> Conditions:
        """The same with so many times the slippage: of a rule strategy's market, or of a carry's spot and perpetual."""
        if len(ratios) == 1:
            return replace(self, costs=self.costs.slipping(ratios[0]))
        legs = self.carry_costs
        spot, perp = legs.spot.slipping(ratios[0]), legs.perp.slipping(ratios[1])
        return replace(self, carry_costs=replace(legs, spot=spot, perp=perp))

    def dear(self) -> Conditions:
        """The same with every cost doubled."""
        return replace(self, costs=self.costs.doubled(), carry_costs=self.carry_costs.doubled())

    def late(self) -> Conditions:
        """The same with entries one bar late."""
        return replace(self, entry_delay_bars=self.entry_delay_bars + 1)
