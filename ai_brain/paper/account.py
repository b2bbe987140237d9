"""One strategy's paper account as it lies on disk: `state/paper/ID.json`, replaced whole after every bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from ai_brain.paper.performance import PaperPerformance, RunningReturns, mean_interval
from trading.domain.errors import StateFileError
from trading.domain.market import INTERVAL_MS, bars_per_year
from trading.storage.checked import read_checked
from trading.storage.files import write_json
from trading.storage.home import Home

ACCOUNT_SCHEMA = 1
CURVE_POINTS = 5000
"""Newest points of the equity curve that are kept; the sums of the performance go back to the start."""


class LearnedTerms(BaseModel):
    """What own fills had taught when an account began."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slippage: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Times that of the fitted law."""
    impact_rate: Annotated[float, Field(ge=0, lt=1)]
    """Of one leg, as a carry's decision weighs it."""
    version: str
    """Of the learned file."""


class PaperTrade(BaseModel):
    """One closed paper trade; bars by their open time, amounts quote."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry_ms: int
    exit_ms: int
    side: int
    """+1 long, -1 short; a carry is 0."""
    quantity_base: float
    entry_price: float
    exit_price: float
    """Fills, quote per base; of the spot leg for a carry."""
    perp_entry_price: float | None = None
    perp_exit_price: float | None = None
    """Of a carry's other leg; None: there is none."""
    fees_quote: float
    funding_quote: float
    pnl_quote: float
    """Net of fees and funding."""
    reason: str


class _AccountFile(BaseModel):
    """The file, as it is parsed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec_id: str
    spec_sha256: str
    family: str
    interval: str
    started_ms: int
    last_bar_ms: int | None
    starting_quote: float
    equity_quote: float
    fees_quote: float
    slippage_quote: float
    funding_quote: float
    settlements: int
    settled_equity_quote: float
    returns: tuple[int, float, float, float, float]
    trades: tuple[PaperTrade, ...]
    results: tuple[float, ...]
    curve: tuple[tuple[int, float], ...]
    parked: str
    warm_from_ms: int | None = None
    dropped_ms: tuple[int, ...] = ()
    no_spot_ms: tuple[int, ...] = ()
    missed_ms: tuple[int, ...] = ()
    terms_sha256: str = ""
    learned: LearnedTerms | None = None
    book: dict[str, JsonValue]


_ACCOUNT = TypeAdapter(_AccountFile)


@dataclass(slots=True)
class PaperAccount:
    """What one strategy has done on paper, and all that is needed to go on with the next bar."""

    spec_id: str
    spec_sha256: str
    """Of the parameters it began with; others need a new account."""
    family: str
    interval: str
    started_ms: int
    """Bars that close after this count."""
    starting_quote: float
    equity_quote: float
    """Marked at the last bar's close."""
    settled_equity_quote: float
    """Equity when funding was last settled in position, or when the position was opened."""
    book: dict[str, JsonValue]
    """The simulator's own state."""
    last_bar_ms: int | None = None
    """Open time of the last bar; None: none yet."""
    fees_quote: float = 0.0
    slippage_quote: float = 0.0
    funding_quote: float = 0.0
    settlements: int = 0
    returns: RunningReturns = field(default_factory=RunningReturns)
    trades: list[PaperTrade] = field(default_factory=list)
    results: list[float] = field(default_factory=list)
    """Net result of each trade, or of a carry from settlement to settlement, fraction of the starting equity."""
    curve: list[tuple[int, float]] = field(default_factory=list)
    """(close time, equity), the newest `CURVE_POINTS`."""
    parked: str = ""
    """Why it no longer trades; empty: it does."""
    warm_from_ms: int | None = None
    """Open time of the first bar of history its indicators saw; None: not begun, or before this was kept."""
    dropped_ms: list[int] = field(default_factory=list)
    """Open times of bars before which a due entry was dropped because no place was free."""
    no_spot_ms: list[int] = field(default_factory=list)
    """Open times of bars stepped without a basis, though the rules read one: spot had no such bar."""
    missed_ms: list[int] = field(default_factory=list)
    """Open times of bars it went on without: refused by the validator, or not to be had. Those of its history too."""
    terms_sha256: str = ""
    """Of the fee and the venue's rules it began under, see `books.terms_sha256`."""
    learned: LearnedTerms | None = None
    """What own fills had taught by then; None: nothing. It keeps these terms: a night that learns voids no account."""

    @property
    def is_carry(self) -> bool:
        """Lives on settlements rather than trades."""
        return self.family == "funding_carry"

    @property
    def first_bar_ms(self) -> int:
        """Open time of the first bar on the grid that closes after the account was opened."""
        interval_ms = INTERVAL_MS[self.interval]
        return self.started_ms // interval_ms * interval_ms

    @property
    def missed(self) -> frozenset[int]:
        """`missed_ms`, and what the curve shows of an account that began before that was kept."""
        interval_ms = INTERVAL_MS[self.interval]
        stepped = [close_ms - interval_ms for close_ms, _ in self.curve]
        span = range(stepped[0], stepped[-1], interval_ms) if stepped else range(0)
        return frozenset(self.missed_ms) | (frozenset(span) - frozenset(stepped))

    def begin(self, history_ms: Sequence[int]) -> None:
        """Note with which bars of history it begins, by open time, oldest first."""
        interval_ms = INTERVAL_MS[self.interval]
        self.warm_from_ms = history_ms[0]
        whole = range(history_ms[0], self.first_bar_ms, interval_ms)
        self.missed_ms = sorted(set(whole) - set(history_ms))

    def mark(self, bar_ms: int, equity_quote: float) -> None:
        """Note one more bar."""
        interval_ms = INTERVAL_MS[self.interval]
        due_ms = self.first_bar_ms if self.last_bar_ms is None else self.last_bar_ms + interval_ms
        self.missed_ms += range(due_ms, bar_ms, interval_ms)
        self.returns.add(self.equity_quote, equity_quote)
        self.equity_quote = equity_quote
        self.last_bar_ms = bar_ms
        self.curve.append((bar_ms + interval_ms, equity_quote))
        del self.curve[:-CURVE_POINTS]

    def performance(self) -> PaperPerformance:
        """Everything it has shown so far."""
        low, high = mean_interval(np.array(self.results))
        hours = 0.0
        if self.last_bar_ms is not None:
            hours = max(0.0, (self.last_bar_ms + INTERVAL_MS[self.interval] - self.started_ms) / 3_600_000)
        won = sum(trade.pnl_quote > 0.0 for trade in self.trades)
        return PaperPerformance(
            trades=len(self.trades),
            settlements=self.settlements,
            bars=self.returns.n,
            hours=hours,
            net_return=self.equity_quote / self.starting_quote - 1.0,
            sharpe_annual=self.returns.sharpe_annual(bars_per_year(self.interval)),
            max_drawdown=self.returns.max_drawdown,
            win_rate=won / len(self.trades) if self.trades else 0.0,
            fees_quote=self.fees_quote,
            slippage_quote=self.slippage_quote,
            funding_quote=self.funding_quote,
            equity_quote=self.equity_quote,
            results=len(self.results),
            mean_low=low,
            mean_high=high,
        )


def account_path(home: Home, spec_id: str) -> Path:
    """`state/paper/ID.json`."""
    return home.state / "paper" / f"{spec_id}.json"


def save_account(home: Home, account: PaperAccount) -> None:
    """Replace the file atomically.

    Raises:
        StateFileError: it cannot be written.
    """
    path = account_path(home, account.spec_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    r = account.returns
    plain = {name: getattr(account, name) for name in _AccountFile.model_fields if name not in ("returns", "trades")}
    plain["returns"] = (r.n, r.mean, r.squares, r.peak_quote, r.max_drawdown)
    plain["learned"] = None if account.learned is None else account.learned.model_dump()
    plain["trades"] = [trade.model_dump() for trade in account.trades]
    if not account.missed_ms:
        del plain["missed_ms"]  # a lab from before there were such bars reads the file, should an update be rolled back
    write_json(path, plain, schema=ACCOUNT_SCHEMA)


def load_account(home: Home, spec_id: str) -> PaperAccount | None:
    """The account of a spec; None: it has none yet.

    Raises:
        StateFileError: the file is no account; it has been set aside.
    """
    path = account_path(home, spec_id)
    kept = read_checked(path, _ACCOUNT, schema=ACCOUNT_SCHEMA, mend="restore it from a backup")
    if kept is None:
        if any(path.parent.glob(f"{path.name}.bad-*")):
            raise StateFileError(
                f"{path}: was set aside as broken; restore it from a backup, or remove {path.name}.bad-* to begin anew"
            )
        return None
    plain = {name: getattr(kept, name) for name in _AccountFile.model_fields}
    plain |= {
        name: list(plain[name]) for name in ("trades", "results", "curve", "dropped_ms", "no_spot_ms", "missed_ms")
    }
    plain["returns"] = RunningReturns(*kept.returns)
    return PaperAccount(**plain)
