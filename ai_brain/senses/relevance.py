"""Whether a headline is about a coin the lab trades, about the market it stands in, or about neither. Pure.

A word list and nothing cleverer: it can be read, and it errs on the side of `MARKET`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum

COINS: Mapping[str, frozenset[str]] = {
    "BTC": frozenset(
        {"btc", "xbt", "bitcoin", "bitcoins", "satoshi", "halving", "ordinals", "microstrategy", "grayscale"}
    ),
    "ETH": frozenset({"eth", "ether", "ethereum", "vitalik", "buterin", "erc-20", "eip"}),
    "SOL": frozenset({"sol", "solana"}),
    "BNB": frozenset({"bnb", "bsc"}),
    "XRP": frozenset({"xrp", "ripple"}),
    "ADA": frozenset({"ada", "cardano"}),
    "DOGE": frozenset({"doge", "dogecoin"}),
    "AVAX": frozenset({"avax", "avalanche"}),
    "LINK": frozenset({"link", "chainlink"}),
    "LTC": frozenset({"ltc", "litecoin"}),
    "DOT": frozenset({"dot", "polkadot"}),
}
"""Words that name a coin, lower case."""
MARKET_WORDS = frozenset(
    re.findall(
        r"\w+",
        """crypto cryptocurrency cryptocurrencies altcoin altcoins stablecoin stablecoins blockchain defi token tokens
        coin coins exchange exchanges binance coinbase kraken bitfinex bitmex bybit okx ftx tether usdt usdc circle sec
        cftc etf etfs miner miners mining hashrate liquidation liquidations liquidated leverage funding futures
        perpetual perpetuals hack hacked hacker exploit exploited stolen custody wallet wallets regulation regulator
        regulators fed fomc inflation cpi rates treasury dollar""",
    )
)
_WORD = re.compile(r"[a-z0-9][a-z0-9\-]*")


class Relevance(IntEnum):
    """How much a headline has to do with a coin."""

    NONE = 0
    MARKET = 1
    COIN = 2


def relevance(title: str, coin: str) -> Relevance:
    """What a headline is about.

    Args:
        title: As the feed wrote it.
        coin: The base asset: `BTC`; one that is not in the list is known by its own name only.
    """
    words = set(_WORD.findall(title.casefold()))
    if words & (COINS.get(coin, frozenset()) | {coin.casefold()}):
        return Relevance.COIN
    others = frozenset().union(*COINS.values())
    return Relevance.MARKET if words & (MARKET_WORDS | others) else Relevance.NONE
