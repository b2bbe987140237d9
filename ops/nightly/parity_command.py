"""`./lab parity`: paper against its backtest on the candles of one day as the lab was told them live.

The night's check, made again by hand from the shelf, the raw recording and the strategy's files; asks nobody, and moves
no strategy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ai_brain.paper.account import PaperAccount, PaperTrade, account_path, load_account
from ai_brain.paper.books import terms_sha256
from ai_brain.paper.market_view import markets_of
from ai_brain.paper.parity import Parity, ParityStatus, compare
from ops.environment import find_home
from ops.flags import time_of
from ops.history.shelf import shelf
from ops.nightly.candle_memory import Told, read_told
from ops.nightly.live_parity import live_against_model
from ops.nightly.live_verdict import beyond
from ops.nightly.tapes_as_told import day_words, tapes_as_told
from ops.nightly.verdict import settled
from ops.settings import LabSettings, read_settings
from ops.trace.live_records import read_holdings
from ops.universe.known_rules import rules_for
from ops.universe.rules_as_of import rules_as_of
from trading.domain.clock import DAY_MS, Clock, as_datetime, iso
from trading.domain.errors import DataProviderError, SettingsError, SpecError
from trading.domain.market import INTERVAL_MS
from trading.exchange.recording import Subscription
from trading.market.store import TapeStore
from trading.market.universe import Universe
from trading.market.universe_store import UniverseStore
from trading.simulator.costs import MarketRules
from trading.storage.home import Home
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec

FAR = "BEYOND THE BOUND"


@dataclass(frozen=True, slots=True)
class _Day:
    """The day that is told of, UTC ms, and what is known of it."""

    start_ms: int
    end_ms: int
    told: Told


def run_parity(wanted: str | None, date: str | None) -> int:
    """Compare one paper account, or all, with its replay until the end of a day, and print what each did on it.

    Returns:
        0: nothing differs; 1: something does, or nothing could be compared.

    Raises:
        SettingsError: the date is none, or is not over yet.
        SpecError: an unknown id, or one without a paper account.
    """
    home, wanted_ms = find_home(), None if date is None else _end_of_day(date)
    specs = _specs(home, wanted)
    if not specs:
        print("no strategy has a paper account")
        return 1
    end_ms = wanted_ms or _newest_whole_day(home, specs)
    if not end_ms:
        print("no paper account has stepped a whole day yet")
        return 1
    settings = read_settings(home.settings_file)
    told = read_told(
        home, sorted({key for spec in specs for key in _needed(spec)}), reach_bars=settings.research.live_bars
    )
    day = _Day(end_ms - DAY_MS, end_ms, told)
    print(f"{as_datetime(end_ms - DAY_MS):%Y-%m-%d} UTC, paper against its backtest on the candles as they were told")
    if not any(day.start_ms <= ms < day.end_ms for candles in told.markets.values() for ms in candles):
        print(f"{home.recordings}: nothing was recorded of that day; every candle is the shelf's")
    for why in told.unread:
        print(why)
    found = [_told(home, spec, settings, day) for spec in specs]
    return 0 if all(status is ParityStatus.SAME for status in found) else 1


def _end_of_day(date: str) -> int:
    """The end of the day that was typed, UTC ms."""
    end_ms, now_ms = time_of("--date", date) // DAY_MS * DAY_MS + DAY_MS, Clock().now_ms()
    if end_ms > now_ms:
        newest = iso(now_ms // DAY_MS * DAY_MS - DAY_MS)[:10]
        raise SettingsError(f"--date {date}: that day is not over; the newest that is: {newest}")
    return end_ms


def _newest_whole_day(home: Home, specs: Sequence[StrategySpec]) -> int:
    """The end of the last day that paper has stepped to its end, UTC ms; 0: none."""
    accounts = [account for spec in specs if (account := load_account(home, spec.id)) is not None]
    return max((_stepped_until_ms(account) for account in accounts), default=0) // DAY_MS * DAY_MS


def _stepped_until_ms(account: PaperAccount) -> int:
    """The close of the last bar an account has stepped; 0: none."""
    return 0 if account.last_bar_ms is None else account.last_bar_ms + INTERVAL_MS[account.interval]


def _specs(home: Home, wanted: str | None) -> Sequence[StrategySpec]:
    repository = StrategyRepository(home.strategies, repair=False)
    if wanted is None:
        accounts = sorted(path.stem for path in account_path(home, "").parent.glob("*.json"))
        return [spec for name in accounts if (spec := repository.of_id(name)) is not None]
    spec = repository.get(wanted)
    if not _has_account(home, spec):
        raise SpecError(f"strategy {spec.id}: it has no paper account; it is in stage {spec.stage}")
    return [spec]


def _needed(spec: StrategySpec) -> list[Subscription]:
    return [(market, spec.market.native_symbol, spec.market.timeframe) for market in markets_of(spec)]


def _has_account(home: Home, spec: StrategySpec) -> bool:
    return account_path(home, spec.id).exists()


def _told(home: Home, spec: StrategySpec, settings: LabSettings, day: _Day) -> ParityStatus:
    """Compare one account, print it, and say what came of it."""
    print(f"\n{spec.id} {spec.name}")
    account = load_account(home, spec.id)
    if account is None:
        print("  NOT_COMPARABLE: it has no account")
        return ParityStatus.NOT_COMPARABLE
    try:
        parity, lines = _compared(home, spec, account, settings, day)
    except DataProviderError as error:
        parity, lines = Parity(spec.id, ParityStatus.NOT_COMPARABLE, why=str(error)), []
    for line in (*lines, *_trade_lines(account, day)):
        print(f"  {line}")
    print(f"  {_verdict(parity)}")
    return ParityStatus.DIFFERENT if any(line.startswith(FAR) for line in lines) else parity.status


def _compared(
    home: Home, spec: StrategySpec, account: PaperAccount, settings: LabSettings, day: _Day
) -> tuple[Parity, list[str]]:
    """The comparison until the end of the day, and how the day's candles were told."""
    store = TapeStore(shelf(home, settings.venue.exchange))
    tapes = [store.load(*key, None, day.end_ms) for key in _needed(spec)]
    seen = tapes_as_told(spec, account, tapes, day.told, start_ms=day.start_ms, end_ms=day.end_ms)
    rules, costs = _rules_of(home, spec, account, settings, day.end_ms), settings.carry_costs()
    live = live_against_model(spec, read_holdings(home), seen.tapes, costs, rules, start_ms=day.start_ms)
    compared = compare(account, spec, seen.tapes, settings.paper, rules, settings.carry.weights())
    far = [f"{FAR}: {why}" for one in live if (why := beyond(one, seen.tapes))]
    return settled(compared, spec, account, seen, day.end_ms), [*day_words(seen), *map(str, live), *far]


def _rules_of(home: Home, spec: StrategySpec, account: PaperAccount, settings: LabSettings, end_ms: int) -> MarketRules:
    """The venue's rules that the account began under: of the snapshots as of then or now, else the built-in ones."""
    universe = Universe(UniverseStore(home.tapes).snapshots(symbol=spec.market.native_symbol))
    moments = (account.started_ms, end_ms)
    known = [rules_as_of(universe, spec, at_ms, at_ms + 1).rules for at_ms in moments] + [rules_for(spec)]
    weights, learned = settings.carry.weights(), account.learned
    for rules in known:
        if terms_sha256(spec, settings.paper, rules, weights, learned) == account.terms_sha256:
            return rules
    return known[0]


def _trade_lines(account: PaperAccount, day: _Day) -> list[str]:
    of_day = [
        trade
        for trade in account.trades
        if any(day.start_ms <= ms < day.end_ms for ms in (trade.entry_ms, trade.exit_ms))
    ]
    return [_trade_line(trade) for trade in of_day] or ["no trade was closed that day, nor one opened that has closed"]


def _trade_line(trade: PaperTrade) -> str:
    side = {1: "long", -1: "short"}.get(trade.side, "carry")
    return (
        f"{side} {trade.quantity_base:g} from {iso(trade.entry_ms)} at {trade.entry_price:g} to {iso(trade.exit_ms)} "
        f"at {trade.exit_price:g}: {trade.pnl_quote:+.4f} USDT net ({trade.reason})"
    )


def _verdict(parity: Parity) -> str:
    if parity.status is ParityStatus.NOT_COMPARABLE:
        return f"NOT_COMPARABLE: {parity.why}"
    counted = f"{parity.bars} bars and {parity.trades} closed trades since it began"
    counted += f", without {parity.missed} bars that paper went without" if parity.missed else ""
    if parity.status is ParityStatus.SAME:
        return f"SAME to the bit: {counted}" + (f"; {parity.why}" if parity.why else "")
    numbers = f"paper {parity.paper!r}, backtest {parity.backtest!r}"
    return f"DIFFERENT: {parity.why}: {numbers}; of {counted}. In all they differ by {parity.differences}"
