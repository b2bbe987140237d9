"""`./lab universe import`, `show` and `list`: saved answers of the venue, and what was known as of a day."""

from __future__ import annotations

from pathlib import Path

from ops.environment import find_home
from ops.flags import symbol_of, time_of
from trading.domain.clock import DAY_MS, HOUR_MS, Clock, iso
from trading.domain.errors import SettingsError
from trading.domain.instrument import Market
from trading.market.listing import plain
from trading.market.universe import Known, Sourced, T, Universe
from trading.market.universe_snapshot import Snapshot, read_document
from trading.market.universe_store import Kept, UniverseStore

COLUMNS = 6
"""Symbols a line of `./lab universe list`."""


def run_import(files: list[Path], at: str | None, *, partial: bool) -> int:
    """Keep saved documents of the venue as snapshots, oldest or newest first.

    Raises:
        SettingsError: a flag is wrong, or a file is not there.
        DataProviderError: a file is none of the known documents, or a cut copy that calls itself whole.
    """
    at_ms = None if at is None else time_of("--at", at)
    store = UniverseStore(find_home().tapes)
    for path in files:
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise SettingsError(
                f"{path}: cannot be read: {error.strerror}; give a saved answer of the venue"
            ) from error
        snapshot = read_document(raw, path.name, at_ms=at_ms, is_complete=not partial)
        print(line_of(snapshot, *store.save(snapshot)))
    return 0


def run_show(symbol: str, as_of: str | None) -> int:
    """Print what was known of a symbol as of a day, and where from.

    Returns:
        0; 1: no snapshot names the symbol.

    Raises:
        SettingsError: a flag is wrong.
    """
    symbol, at_ms = symbol_of(symbol), _at(as_of)
    universe = _universe(symbol)
    known = [universe.of(market, symbol, at_ms) for market in Market]
    named = [one for one in known if one.earliest is not None]
    print(f"{symbol} as of {iso(at_ms)}")
    for one in named:
        for line in told(one):
            print(f"  {line}")
    if not named:
        print("  in no snapshot; ./lab universe import FILE, or ./lab universe record")
    return 0 if named else 1


def run_list(as_of: str | None, market: Market) -> int:
    """Print what traded as of a day.

    Returns:
        0; 1: not known.

    Raises:
        SettingsError: a flag is wrong.
    """
    at_ms, universe = _at(as_of), _universe()
    found = universe.symbols(market, at_ms)
    if found is None:
        earliest_ms = universe.earliest_ms(market)
        known = "there is none" if earliest_ms is None else f"the earliest is of {iso(earliest_ms)}"
        print(f"{market} as of {iso(at_ms)}: not known: no complete snapshot reaches back so far, {known}")
        return 1
    print(f"{market} as of {iso(at_ms)}: {len(found.value)} trading; {_where(found, at_ms)}")
    for first in range(0, len(found.value), COLUMNS):
        print("  " + " ".join(f"{name:<18}" for name in found.value[first : first + COLUMNS]).rstrip())
    return 0


def told(known: Known) -> list[str]:
    """Everything that was known of one market of a symbol, a line each; of what was not, the earliest that is known."""
    market, at_ms = str(known.market), known.at_ms
    lines = [f"{market:<5} listed       {known.listed or 'not known then'}"]
    lines.append(f"{market:<5} delisted     {known.delisted or 'nothing says so'}")
    listing = known.listing or known.earliest
    if listing is not None:
        v = listing.value
        kind = "" if v.contract is None else f", {v.contract or 'no kind of contract told'}"
        lines.append(f"{market:<5} status       {v.status}{kind}; {_when(known.listing, listing, at_ms)}")
        numbers = {
            "tick": plain(v.tick),
            "lot": plain(v.lot),
            "quantity": f"{plain(v.min_quantity)} to {plain(v.max_quantity)} {v.base}",
            "minimum": f"{plain(v.min_notional)} {v.quote}",
            "price": f"{plain(v.price_down)} to {plain(v.price_up)} times the venue's reference",
        }
        if v.liquidation_fee_rate is not None:
            numbers["liquidation"] = f"fee {v.liquidation_fee_rate:.2%}"
        lines += [f"{market:<5} {name:<12} {value}" for name, value in numbers.items()]
    table = known.brackets or known.earliest_brackets
    if table is not None:
        first, last = table.value[0], table.value[-1]
        lines.append(
            f"{market:<5} margin       {len(table.value)} steps, {first.maintenance_rate:.2%} to "
            f"{last.maintenance_rate:.2%}, leverage up to {first.max_leverage:g}; "
            f"{_when(known.brackets, table, at_ms)}"
        )
    terms = known.funding or known.earliest_funding
    if terms is not None:
        lines.append(
            f"{market:<5} funding      every {terms.value.interval_ms // HOUR_MS} h, {terms.value.floor_rate:+.2%} to "
            f"{terms.value.cap_rate:+.2%}; {_when(known.funding, terms, at_ms)}"
        )
    return lines


def line_of(snapshot: Snapshot, kept: Kept, name: str) -> str:
    """What became of a snapshot."""
    whole = "" if snapshot.is_complete else ", not all of them"
    return f"{snapshot}: {len(snapshot.rows)} symbols{whole}: {kept}, {name}"


def _when(known: Sourced[T] | None, value: Sourced[T], at_ms: int) -> str:
    return _where(value, at_ms) if known is not None else f"not known then; the earliest known: {_where(value, at_ms)}"


def _where(value: Sourced[T], at_ms: int) -> str:
    """The snapshot and its age."""
    again = f", the same until {iso(value.confirmed_ms)}" if value.confirmed_ms > value.taken_ms else ""
    days = value.age_ms(at_ms) / DAY_MS
    age = f"{days:.1f} days old" if days >= 0 else f"{-days:.1f} days later"
    return f"snapshot of {iso(value.taken_ms)} ({value.source}{again}), {age}"


def _at(as_of: str | None) -> int:
    return Clock().now_ms() if as_of is None else time_of("--as-of", as_of)


def _universe(symbol: str | None = None) -> Universe:
    return Universe(UniverseStore(find_home().tapes).snapshots(symbol=symbol))
