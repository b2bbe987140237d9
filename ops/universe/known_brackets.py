"""Binance's margin tables of five perpetuals, where no venue is asked; the service fetches them.

Caps in USDT and maintenance rates as `GET /fapi/v1/leverageBracket` gave them; the recording (see the data folder's
provenance) bears no date. The amounts follow from them.
"""

from __future__ import annotations

from trading.domain.instrument import Bracket
from trading.simulator.costs import continuous_brackets

_M = 1e6

_STEPS: dict[str, tuple[tuple[float, float], ...]] = {
    "BTCUSDT": (
        *((0.3 * _M, 0.004), (0.8 * _M, 0.005), (3 * _M, 0.0065), (12 * _M, 0.01), (70 * _M, 0.02), (100 * _M, 0.025)),
        *((230 * _M, 0.05), (480 * _M, 0.1), (600 * _M, 0.125), (800 * _M, 0.15), (1200 * _M, 0.25), (1800 * _M, 0.5)),
    ),
    "ETHUSDT": (
        *((0.3 * _M, 0.004), (0.8 * _M, 0.005), (3 * _M, 0.0065), (12 * _M, 0.01), (50 * _M, 0.02), (65 * _M, 0.025)),
        *((150 * _M, 0.05), (320 * _M, 0.1), (400 * _M, 0.125), (530 * _M, 0.15), (800 * _M, 0.25), (1200 * _M, 0.5)),
    ),
    "BNBUSDT": (
        *((0.01 * _M, 0.005), (0.2 * _M, 0.006), (0.4 * _M, 0.01), (1.5 * _M, 0.02), (3 * _M, 0.025)),
        *((15 * _M, 0.05), (30 * _M, 0.1), (37.5 * _M, 0.125), (75 * _M, 0.25), (150 * _M, 0.5)),
    ),
    "SOLUSDT": (
        *((0.05 * _M, 0.005), (0.4 * _M, 0.0065), (1 * _M, 0.01), (4 * _M, 0.02), (8 * _M, 0.025)),
        *((40 * _M, 0.05), (80 * _M, 0.1), (100 * _M, 0.125), (200 * _M, 0.25), (400 * _M, 0.5)),
    ),
    "XRPUSDT": (
        *((0.04 * _M, 0.005), (0.08 * _M, 0.006), (0.15 * _M, 0.01), (0.4 * _M, 0.0125), (1 * _M, 0.02)),
        *((2 * _M, 0.025), (10 * _M, 0.05), (20 * _M, 0.1), (25 * _M, 0.125), (50 * _M, 0.25), (100 * _M, 0.5)),
    ),
}


def known_brackets(symbol: str) -> tuple[Bracket, ...]:
    """The margin table of a perpetual; empty where it is not known."""
    return continuous_brackets(_STEPS.get(symbol, ()))
