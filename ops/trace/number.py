"""`./lab trace`: follow a number to the bars, fills or funding records it came from; `./lab verify-audit`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from ai_brain.evidence.filing import evidence_folder, load_evidence
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.trial_ledger import TrialLedger
from ai_brain.paper.account import PaperAccount, account_path, load_account
from ops.environment import find_home, read_environment
from ops.flags import interval_of, markets_of, symbol_of, time_of
from ops.learning import is_there, open_learning_db
from ops.trace.live_records import (
    THIRD_COINS,
    ZERO,
    CycleLine,
    FillLine,
    Holdings,
    client_ids,
    read_cycles,
    read_holdings,
)
from ops.trace.living import life_lines
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
from trading.domain.clock import Clock, as_datetime, iso
from trading.domain.errors import DataProviderError, SettingsError
from trading.domain.market import INTERVAL_MS
from trading.journal.audit import verify_audit
from trading.journal.audit_roots import ToldRoot, checked_root, read_roots
from trading.market.store import TapeStore
from trading.storage.home import Home
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec, spec_sha256

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
TRADES_TOLD = 20
"""Most paper trades that are listed."""


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
    rows = list(fill_rows(read_cycles(home.audit_file), client_ids(home.intents_file), held.lives))
    names_symbol = len({fill.symbol for fill, _ in rows if fill.symbol}) > 1
    print_table(FILL_HEAD, [fill_line(*row, names_symbol=names_symbol) for row in rows])
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
    rows = list(funding_rows(home, list(read_cycles(home.audit_file)), held))
    print_table(FUNDING_HEAD, [funding_line(row) for row in rows])
    total = sum((row.amount_quote for row in rows), ZERO)
    if any(not row.settled for row in rows):
        print("settlements not in the store: fetch them with ./lab history fetch, or history import")
    return _sums("funding booked", total, "funding the reports tell", reported_funding(held))


def run_strategy(wanted: str) -> int:
    """The life of one strategy: moves, evidence, what it makes of its promise, paper account, trials.

    Raises:
        SpecError: unknown.
        SettingsError: `lab.yaml` makes no sense.
        StateFileError: a file of it makes no sense.
    """
    home = find_home()
    spec = StrategyRepository(home.strategies, repair=False).get(wanted)
    print(
        f"{spec.id}: {spec.name}; {spec.type}, {spec.market.symbol} {spec.market.timeframe}, {spec.status}/{spec.stage}"
    )
    print(f"spec sha256 {spec_sha256(spec)}, by {spec.origin.author}")
    print("\nMoves")
    moves = [
        (m.at, str(m.from_), str(m.to), m.by, m.why, m.evidence_sha256[:12] or "-", "signed" if m.signature else "")
        for m in spec.history
    ]
    print_table(("at", "from", "to", "by", "why", "evidence", ""), moves)
    for lines in (_evidence_lines, life_lines, _paper_lines, _trial_lines):
        print("\n" + "\n".join(lines(home, spec)))
    return 0


def run_decisions(last: int) -> int:
    """The newest cycles: what was decided, by which rule, with both numbers.

    Raises:
        StateFileError: a line of the audit file makes no sense.
    """
    home = find_home()
    newest = deque(read_cycles(home.audit_file), maxlen=last)
    if not newest:
        print(f"no cycle yet: {home.audit_file} has no line")
    for cycle in newest:
        print("\n".join(_cycle_lines(cycle)))
    return 0


def run_verify_audit(file: Path | None, root: str | None = None) -> int:
    """Check the hash chain of an audit file, and that it has every root that was told; 1 where it is broken.

    Raises:
        SettingsError: there is no such file, or the root is none.
        StateFileError: it cannot be read.
    """
    home = find_home()
    path = home.audit_file if file is None else file
    if file is not None and not file.is_file():
        raise SettingsError(f"{file}: no such file; give an audit file such as state/audit.jsonl")
    told = read_roots(home.audit_roots_file) if file is None else []
    try:
        told += [] if root is None else [ToldRoot(checked_root(root), "--root")]
    except ValueError as error:
        raise SettingsError(f"--root {error}") from error
    check = verify_audit(path, told)
    if check.ok:
        roots = f"; {len(told)} told roots are in it" if told else ""
        print(f"{path}: {check.lines} lines, the chain is whole; head {check.head_hash}{roots}")
        return 0
    if check.first_bad_line is None:
        print(f"{path}: {check.lines} lines, each good behind the one before, but {check.why}; head {check.head_hash}")
        return 1
    print(f"{path}: line {check.first_bad_line}: {check.why}; the lines before it are whole, head {check.head_hash}")
    return 1


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need to be."""
    if not rows:
        print("none")
        return
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


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


def _evidence_lines(home: Home, spec: StrategySpec) -> list[str]:
    evidence = load_evidence(home, spec.id)
    if evidence is None:
        return ["Evidence: none; it was never judged"]
    path = evidence_folder(home) / f"{spec.id}.json"
    return [f"Evidence: {path}, sha256 {evidence.evidence_sha256}", *evidence_markdown(evidence).splitlines()]


def _paper_lines(home: Home, spec: StrategySpec) -> list[str]:
    account = load_account(home, spec.id)
    if account is None:
        return ["Paper: no account"]
    shown = account.performance()
    lines = [
        f"Paper: {account_path(home, spec.id)}, since {iso(account.started_ms)}",
        f"  equity {account.equity_quote!r} = start {account.starting_quote!r} {shown.net_return:+.4%}",
        f"  funding {account.funding_quote!r} over {account.settlements} settlements, fees {account.fees_quote!r}, "
        f"slippage {account.slippage_quote!r} (inside the prices)",
        f"  {len(account.trades)} trades closed" + (f"; parked: {account.parked}" if account.parked else ""),
    ]
    return lines + list(_paper_trades(account))


def _paper_trades(account: PaperAccount) -> Iterator[str]:
    for trade in account.trades[-TRADES_TOLD:]:
        yield (
            f"  {iso(trade.entry_ms)} at {trade.entry_price!r} to {iso(trade.exit_ms)} at {trade.exit_price!r}, "
            f"{trade.quantity_base!r}, net {trade.pnl_quote!r} ({trade.reason})"
        )


def _trial_lines(home: Home, spec: StrategySpec) -> list[str]:
    environment = read_environment(home)
    if not is_there(home, environment):
        return ["Trials: no ledger yet"]
    database = open_learning_db(home, environment)
    try:
        ledger = TrialLedger(database, Clock())
        looks, ideas = ledger.trials_of(spec_sha256(spec)), ledger.count()
    finally:
        database.close()
    lines = [f"Trials: {len(looks)} looks at it, {ideas} ideas tried in all"]
    for look in looks:
        stamps = [iso(int(str(look[name]))) for name in ("at_ms", "start_ms", "end_ms")]
        lines.append(
            f"  {stamps[0]} {look['origin']}: {look['stretch']}, {stamps[1]} to {stamps[2]}, net "
            f"{float(str(look['net_return'])):+.6f}, {look['entries']} entries"
        )
    return lines


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
