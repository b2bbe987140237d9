"""What the book would lose in the crashes on record: basis, funding, and the hedge taken away. Pure.

A carry loses little while both legs stand. Crashes take a leg: the exchange deleverages or liquidates the short, and
the spot stands alone until it is sold. Each scenario adds all of it, as if everything came at once.

The numbers were measured on Binance's recorded candles and settlements, the worst of BTCUSDT, ETHUSDT and XRPUSDT;
falls within minutes on BTCUSDT spot, which alone is recorded by the minute. What is not recorded is an assumption and
says so. `tests/trading/risk/test_stress.py` measures them anew.
"""

from __future__ import annotations

from dataclasses import dataclass

MAINTENANCE_RATE = 0.01
"""Left in an isolated margin when the short is liquidated, and lost with it, fraction of notional: twice what the
smallest bracket of the large contracts asks."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One crash; every rate is a fraction of one leg's notional."""

    id: str
    source: str
    naked_fall_rate: float
    """Spot's deepest fall within the five minutes that it may stand alone."""
    basis_rate: float
    """The perpetual's largest rise against spot within a day, hourly closes."""
    funding_rate: float
    """Most that shorts paid over three days."""
    rise_rate: float
    """The mark's largest rise from a low of the day before, by which a short is liquidated."""

    def loss_rate(self, leverage: int) -> float:
        """Loss of one leg's notional; a short whose margin the rise exceeds is liquidated on top."""
        liquidated = self.rise_rate >= 1 / leverage - MAINTENANCE_RATE
        return self.naked_fall_rate + self.basis_rate + self.funding_rate + (MAINTENANCE_RATE if liquidated else 0.0)


SCENARIOS = (
    Scenario(
        "march_2020",
        "recorded 2020-03-08 to 2020-03-19; fall, basis and funding of BTC, rise of ETH",
        naked_fall_rate=0.1525,
        basis_rate=0.0246,
        funding_rate=0.0068,
        rise_rate=0.600,
    ),
    Scenario(
        "november_2022",
        "recorded 2022-11-06 to 2022-11-21; fall of BTC, basis, funding and rise of XRP",
        naked_fall_rate=0.0408,
        basis_rate=0.0047,
        funding_rate=0.0045,
        rise_rate=0.274,
    ),
    Scenario(
        "october_2025_like",
        "recorded: BTC's high of 2025-10-06 (126,199.63), lows of 2025-10-10 (spot 102,000.00, perpetual 101,516.50); "
        "assumed: all of that fall came while spot stood alone, the basis came back from the lows, funding as in March "
        "2020, no rise",
        naked_fall_rate=0.1918,
        basis_rate=0.0048,
        funding_rate=0.0068,
        rise_rate=0.0,
    ),
)


def worst_scenario(leverage: int) -> Scenario:
    """The scenario in which a book of this leverage loses most."""
    return max(SCENARIOS, key=lambda scenario: scenario.loss_rate(leverage))
