"""`./lab trace`: follow a number to the bars, fills or funding records it came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from ai_brain.evidence.filing import evidence_folder, load_evidence
from ops.columns import columns
from ops.environment import find_home
from ops.flags import interval_of, markets_of, symbol_of, time_of
from ops.trace.live_records import (
    THIRD_COINS,
    ZERO,
    CycleLine,
    FillLine,
    Holdings,
    client_ids,
    cycles_with_fills,
    newest_cycles,
    read_holdings,
    read_steps,
)
from ops.trace.money import (
    QUOTE,
    cash_moved,
    coins_moved,
    dust_quote,
    fill_line,
    fill_rows,
    funding_line,
    funding_rows,
    plain,
    reported_fees,
    reported_funding,
)
from trading.domain.clock import as_datetime, iso
from trading.domain.errors import DataProviderError
from trading.domain.market import INTERVAL_MS
from trading.market.store import TapeStore
from trading.storage.home import Home

FILL_HEAD = ("time", "market", "trade", "side", "base", "price", "fee", "fee USDT", "order", "client id")
FUNDING_HEAD = (
    "position",
    "booked",
    "settled",
    "perp base",
    "rate",
    "mark",
    "-base*mark*rate",
    "booked",
    "off",
    "record",
)
NAMED = 3
"""Most strategies that are named for one tape."""


def run_bars(at: str, symbol: str, market: str, interval: str) -> int:
    """The recorded bar a moment falls in, with its file, its settlement, and the tapes of evidence it stands in.

    Raises:
        SettingsError: a flag is wrong.
        DataProviderError: the bar is not in the store.
    """
    home, step_ms = find_home(), INTERVAL_MS[interval_of(interval)]
    start_ms = time_of("time", at) // step_ms * step_ms
    (side,) = markets_of(market)[:1]
    store = TapeStore(home.tapes)
    symbol = symbol_of(symbol)
    tape = store.load(side, symbol, interval, start_ms, start_ms + step_ms)
    if tape.start_ms != start_ms:
        raise DataProviderError(f"store {side} {symbol} {interval}: no bar at {iso(start_ms)}: it lies in a gap")
    print(f"{side} {symbol} {interval} {iso(start_ms)}, {tape.origin}")
    for name in ("open", "high", "low", "close", "volume_base"):
        print(f"  {name:12} {float(getattr(tape, name)[0])!r}")
    for ms, rate, mark in zip(tape.funding.time_ms, tape.funding.rate, tape.funding.mark_price, strict=True):
        print(f"  settled      {iso(int(ms))} rate {float(rate)!r} mark {float(mark)!r}")
    print(f"  this bar     sha256 {tape.content_hash}")
    month = as_datetime(start_ms).strftime("%Y-%m")
    files = sorted((home.tapes / side / symbol / interval).glob(f"{month}-*.parquet"))
    print(f"  file         {files[0] if files else 'made of shorter bars'}")
    for line in _evidence_of_bar(home, (str(side), symbol, interval), start_ms):
        print(f"  stands in    {line}")
    return 0


def run_fills() -> int:
    """Every live fill, and whether their fees are the ones the reports tell; 1 where they are not.

    Raises:
        StateFileError: a file of state makes no sense.
    """
    home = find_home()
    held = read_holdings(home)
    rows = list(fill_rows(cycles_with_fills(home.audit_file), client_ids(home.intents_file), held.lives))
    names_symbol = len({fill.symbol for fill, _ in rows if fill.symbol}) > 1
    _print_table(FILL_HEAD, [fill_line(*row, names_symbol=names_symbol) for row in rows])
    fees = [fill.fee_in_quote(QUOTE) for fill, _ in rows if fill.ours]
    unknown = sum(fee is None for fee in fees)
    total, told = sum((fee for fee in fees if fee is not None), ZERO), reported_fees(held)
    if unknown:
        print(
            f"{unknown} fees were charged in another coin and are not in the sum; the positions file has them in USDT"
        )
    spot, realised, quote_fees = cash_moved([fill for fill, _ in rows])
    print(
        f"cash moved by our fills: {plain(spot + realised + quote_fees)} USDT = spot {plain(spot)} + realised by the "
        f"perpetual {plain(realised)} + fees in USDT {plain(quote_fees)}"
    )
    return max(_sums("fees of our fills", total, "fees the reports tell", told), _profit(held, [f for f, _ in rows]))


def run_funding() -> int:
    """Every funding booking beside the recorded settlement, and whether they are what the reports tell; 1 if not.

    Raises:
        StateFileError: a file of state makes no sense.
    """
    home = find_home()
    held = read_holdings(home)
    has_old = any(position.settled is None for position in held.closed)
    rows = list(funding_rows(home, list(read_steps(home.audit_file)) if has_old else [], held))
    _print_table(FUNDING_HEAD, [funding_line(row) for row in rows])
    total = sum((row.amount_quote for row in rows), ZERO)
    if any(not row.settled for row in rows):
        print("settlements not in the store: fetch them with ./lab history fetch, or history import")
    return _sums("funding booked", total, "funding the reports tell", reported_funding(held))


def run_decisions(last: int) -> int:
    """The newest cycles: what was decided, by which rule, with both numbers.

    Raises:
        StateFileError: a line of the audit file makes no sense.
    """
    home = find_home()
    newest = newest_cycles(home.audit_file, last)
    if not newest:
        print(f"no cycle yet: {home.audit_file} has no line")
    for cycle in newest:
        print("\n".join(_cycle_lines(cycle)))
    return 0


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("\n".join(columns(head, rows)) or "none")


def _profit(held: Holdings, fills: Sequence[FillLine]) -> int:
    """While nothing is held: cash, coins and funding of all positions, against the profits the reports tell."""
    dust = dust_quote(held.closed)
    if held.lives or not held.closed or dust is None or any(f.fee_asset in THIRD_COINS for f in fills):
        return 0
    left, funding = coins_moved(fills), reported_funding(held)
    cash = sum(cash_moved(fills), ZERO)
    print(
        f"profit: cash moved {plain(cash)} + funding {plain(funding)} + dust {plain(dust)} USDT ({plain(left)} of the "
        "coin at the price of each close)"
    )
    told = sum((position.profit_quote for position in held.closed), ZERO)
    kept = sum((position.dust_base or ZERO for position in held.closed), ZERO)
    return max(
        _sums("profit", cash + funding + dust, "profit the reports tell", told),
        _sums("dust by the fills", left, "dust the reports tell", kept, of="of the coin"),
    )


def _sums(name: str, found: Decimal, told_name: str, told: Decimal, *, of: str = QUOTE) -> int:
    same = found == told
    verdict = "the same" if same else "THEY DIFFER"
    print(f"{name}: {plain(found)} {of}; {told_name}: {plain(told)} {of}; {verdict}")
    return 0 if same else 1


def _evidence_of_bar(home: Home, market: tuple[str, str, str], start_ms: int) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for path in sorted(evidence_folder(home).glob("*.json")):
        # ID.HASH.json is an older one of the same strategy
        evidence = None if "." in path.stem else load_evidence(home, path.stem)
        for used in evidence.data if evidence else ():
            if (used.market, used.symbol, used.interval) == market and used.start_ms <= start_ms < used.end_ms:
                found.setdefault(used.content_hash, []).append(path.stem)
    for content_hash, names in found.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        yield f"tape {content_hash}, evidence of {', '.join(names[:NAMED])}{more}"


def _cycle_lines(cycle: CycleLine) -> list[str]:
    risk, books = cycle.risk, cycle.equity
    equity = "equity not read" if books.equity_quote is None else f"equity {plain(books.equity_quote)}"
    if books.dust_quote:
        equity += f" with dust {plain(books.dust_quote)}"
    refused = [check for check in risk.checks if check.get("allowed") is False]
    return [
        f"{iso(cycle.at_ms)} {cycle.mode} {cycle.status} {cycle.reason}: {risk.value} against {risk.limit}"
        f"{' (' + risk.note + ')' if risk.note else ''}; {equity}, data quality {cycle.data_quality:.0f}",
        *(f"    {check.get('reason')}: {check.get('value')} against {check.get('limit')}" for check in refused),
    ]
