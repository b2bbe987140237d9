"""What the lab knows, gathered once and told many times: reports, status, heartbeat and demo all read these values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

CENT = 0.01


@dataclass(frozen=True, slots=True)
class Account:
    """One account, live or paper; amounts in quote (USDT).

    Equity = cash + positions + dust + unrealised. Funding and fees are already inside cash; they are told beside it.
    """

    kind: str
    """`live`, `live (sandbox)` or `paper ID`; after a comma that it is stale or not read
    while stopped, and since when."""
    equity_quote: float
    cash_quote: float
    positions_quote: float
    """What is held on the spot side, at the market's price."""
    unrealised_quote: float
    """Of the perpetual side, at the mark."""
    funding_quote: float
    """Settled since the start; booked from the venue's own records when live."""
    fees_quote: float
    """Paid since the start, at the price of the coin they were charged in."""
    start_quote: float
    """Equity the account began with."""
    dust_quote: float = 0.0
    """Coins of closed positions that are too few to sell, at the market's price."""

    flows_quote: float = 0.0
    """Cash put in (positive) or taken out since the start; no profit."""
    unexplained_quote: float = 0.0
    """Cash that no record explains and nobody has released yet: what is too much is no profit, what is missing is lost
    until a human says otherwise.
    """

    parts_known: bool = True
    """False: a parked paper account, whose books are shut; its equity is told, and no parts."""

    @property
    def whose(self) -> str:
        """`live`, `live (sandbox)` or `paper ID`, without its age."""
        return self.kind.partition(",")[0]

    @property
    def parts_error_quote(self) -> float:
        """Equity less the parts it is told with; more than rounding: one of the two is not so."""
        parts = self.cash_quote + self.positions_quote + self.dust_quote + self.unrealised_quote
        return self.equity_quote - parts

    @property
    def is_untouched(self) -> bool:
        """On paper, and nothing has happened on it since its start."""
        moved = (self.positions_quote, self.unrealised_quote, self.funding_quote, self.fees_quote, self.dust_quote,
                 self.flows_quote, self.unexplained_quote)  # fmt: skip
        is_as_it_began = self.equity_quote == self.cash_quote == self.start_quote and not any(moved)
        return re.fullmatch(r"paper \S+", self.kind) is not None and is_as_it_began and self.parts_known

    @property
    def adds_up(self) -> bool:
        """The parts make the equity, to the cent."""
        return abs(self.parts_error_quote) < CENT / 2

    @property
    def change_quote(self) -> float:
        """Earned since the start: without what was put in or taken out, and without what nobody can explain."""
        return self.equity_quote - self.start_quote - self.flows_quote - max(0.0, self.unexplained_quote)

    @property
    def change_fraction(self) -> float:
        """Earned since the start, fraction of what the account began with and what was put in since; 0 for nothing."""
        paid_in_quote = self.start_quote + max(0.0, self.flows_quote)
        return self.change_quote / paid_in_quote if paid_in_quote > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Holding:
    """One position as a person wants to hear of it."""

    strategy_id: str
    text: str
    """`carry BTCUSDT: spot 0.006, perpetual -0.006, funding +0.3100 USDT ...`."""


@dataclass(frozen=True, slots=True)
class Best:
    """The strategy that leads, with what its rate is worth."""

    strategy_id: str
    name: str
    net_return_fraction: float
    n: int
    """Trades, or settlements of a carry."""
    n_of: str
    """`settlement` or `trade`."""
    low_fraction: float
    """Interval of the net return per trade or settlement, 95 %."""
    high_fraction: float


@dataclass(frozen=True, slots=True)
class LastDecision:
    """What the last cycle decided, with the rule and both numbers."""

    at_ms: int
    status: str
    reason: str
    value: float
    limit: float
    note: str
    id: str = ""
    """What `./lab explain` takes; empty: its line is not written yet."""


@dataclass(frozen=True, slots=True)
class MarketData:
    """How the data of one symbol are."""

    symbol: str
    quality: float
    """0 to 100; what the validator said of its last bars."""
    age_s: float | None
    """Since its newest closed candle closed, of the market that is further behind; None: there is none."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Everything one report needs."""

    at_ms: int
    market: str
    """`live`, `recorded`, `downloaded` or `synthetic`: where the bars come from."""
    accounts: tuple[Account, ...]
    holdings: tuple[Holding, ...]
    stages: dict[str, int]
    """Strategies by stage."""
    best: Best | None
    data_quality: float
    """0 to 100; what the validator said of the last bars of the worst symbol."""
    last: LastDecision | None
    no_trade_reasons: dict[str, int]
    """Reasons of the last day's cycles that did not trade, by count."""
    next_action: str
    waiting_for_human: tuple[str, ...]
    """Strategies that wait for approval."""
    uptime_s: float
    ideas_tried: int
    """Performances shown to anything that chooses, ever: the trial ledger's count."""
    rss_mb: float
    markets: tuple[MarketData, ...] = ()
    """By symbol."""
    regime: str = ""
    """What kind of market it is, or `unknown: why`; empty: nobody looked."""
    tuner: tuple[str, ...] = ()
    """What the tuner has rest, or advises, each with its rule and both numbers."""
    parity: str = ""
    """Paper against its backtest, last night, in words; empty: nobody looked."""
    living: tuple[str, ...] = ()
    """Each life of each living strategy against its promise, in words."""
    in_force: tuple[str, ...] = ()
    """What forbids live entries until a human releases it: the stop, by its switch, and each halt, by its reason."""
    time_zone: str = "UTC"
    """Of whoever reads."""
    stale_after_s: float = 180.0
    """A last decision that is older is told with its age, and that the lab decides nothing."""
    errors: int = 0

    @property
    def decided_s_ago(self) -> float:
        """Since the last decision; of a lab without one, since its start."""
        return self.uptime_s if self.last is None else (self.at_ms - self.last.at_ms) / 1000.0

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return asdict(self)


def to_release(in_force: Sequence[str]) -> str:
    """What a human types to take back what is in force; a switch of the environment is not the script's to turn."""
    if list(in_force) == ["PAUSED"]:
        return "remove state/PAUSED: a pause leaves live trading armed, a release does not"
    unset = [f"unset {name}, then " for name in in_force if name.startswith("KILL=")]
    return f"{''.join(unset)}python stop_trading.py --release ({', '.join(in_force)})"
