"""`./lab backtest`: one strategy over history with every question of the gate. The look is counted as a trial.

The evidence of a strategy that the lab has judged already is never replaced from here: it decides what a human may
approve. Such a look, and one at a file that is not in `strategies/`, is filed beside, in `backtests/ID/HASH/`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.filing import EVIDENCE_SCHEMA, Judgement, evidence_folder, save_evidence
from ai_brain.evidence.graveyard import NoGraveyard
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.verdict import Verdict
from ai_brain.strategy_evaluator import evaluate
from ops.environment import find_home, read_environment
from ops.flags import span_of_days
from ops.history.shelf import shelf
from ops.judgement.costs_in_force import conditions_for
from ops.judgement.verify import verify
from ops.learning import open_learning_db
from ops.settings import read_settings
from ops.universe.rules_as_of import rules_as_of
from trading.domain.clock import Clock, iso
from trading.domain.errors import DataProviderError, SettingsError, SpecError
from trading.domain.instrument import Market
from trading.exchange.open_venue import TRADES_AT
from trading.market.beside import shared_stretch
from trading.market.delisting import ended
from trading.market.funding_schedule import Lack, Told, missing_settlements
from trading.market.importers import import_recorded
from trading.market.store import TapeStore
from trading.market.tape import Tape
from trading.market.universe import Universe
from trading.market.universe_snapshot import Kind
from trading.market.universe_store import UniverseStore
from trading.storage.files import write_atomic, write_json
from trading.storage.home import Home
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import CarryParameters, StrategySpec, dump_spec, load_spec, spec_sha256

ORIGIN = "command line"
"""Who looked, in the trial ledger."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which recorded market a backtest is to run on."""

    folder: Path | None
    """Of recorded files; None: the lab's own store."""
    start_ms: int | None
    """Open of the first bar; None: the first recorded one."""
    end_ms: int | None
    """Bars open before this; None: to the last recorded one."""


def run_backtest(wanted: str, tape: Path | None, start: str | None, end: str | None) -> int:
    """Backtest a strategy file or a strategy of the repository and print its page.

    Returns:
        0: APPROVED or CAUTION; 1: REJECTED.

    Raises:
        SettingsError: a flag is wrong, or the file is not there.
        SpecError: not a strategy, or an unknown id.
        DataProviderError: the market is not recorded.
    """
    home = find_home()
    stretch = Stretch(tape, *span_of_days(start, end))
    spec, is_ours = find_spec(home, wanted)
    tapes, told = market_for(home, spec, stretch)
    settings = read_settings(home.settings_file)
    home.make()
    database = open_learning_db(home, read_environment(home))
    try:
        clock = Clock()
        bench = Bench.of(database, clock, settings.gate, origin=ORIGIN)
        if (before := bench.graveyard.was_refused(spec_sha256(spec))) is not None:
            print(f"lab: refused before, {before}; judged again because you ask", file=sys.stderr)
        bench = replace(bench, graveyard=NoGraveyard())
        judgement = evaluate(spec, tapes, bench)
    finally:
        database.close()
    print(evidence_markdown(judgement.evidence))
    for line in told:
        print(f"Market: {line}")
    for line in file_it(home, spec, judgement, is_ours=is_ours):
        print(line)
    return 1 if judgement.evidence.verdict is Verdict.REJECTED else 0


def run_verify(wanted: str) -> int:
    """Derive a published verdict anew from its pinned tapes.

    Returns:
        0: the same, bit for bit; 1: something differs, and is named.

    Raises:
        SpecError: unknown strategy, or one without evidence.
        DataProviderError: its market is not in the store any more.
    """
    home = find_home()
    return verify(home, StrategyRepository(home.strategies, repair=False).get(wanted))


def find_spec(home: Home, wanted: str) -> tuple[StrategySpec, bool]:
    """A strategy by its file or id, and whether it is one of the repository's.

    Raises:
        SettingsError: the file cannot be read.
        SpecError: not a strategy, or an unknown id.
    """
    path = Path(wanted)
    if not (path.suffix == ".json" or "/" in wanted or path.is_file()):
        return StrategyRepository(home.strategies, repair=False).get(wanted), True
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read: {error.strerror}; give a strategy file or an id of get_status.py"
        ) from error
    spec = load_spec(raw, where=str(path))
    try:
        ours = StrategyRepository(home.strategies, repair=False).get(spec.id)
    except SpecError:
        return spec, False
    return spec, ours.id == spec.id and spec_sha256(ours) == spec_sha256(spec)


def market_for(home: Home, spec: StrategySpec, stretch: Stretch) -> tuple[Tapes, tuple[str, ...]]:
    """The recorded market of a spec under its rules as of then, and what to tell of both.

    Of a carry, and of rules that read the basis, spot too, cut to what both have. Bars after a market's end are left
    out, and those of a carry after its last settlement.

    Raises:
        DataProviderError: it is not recorded, or had ended before.
    """
    is_carry, symbol = isinstance(spec.parameters, CarryParameters), spec.market.native_symbol
    own = Market.PERP if is_carry else spec.market.market
    spot = _tape(home, spec, Market.SPOT, stretch) if is_carry else None
    tape = _tape(home, spec, own, stretch)
    if spec.reads_basis and not is_carry:
        spot = _spot_of_basis(home, spec, stretch)
    kinds = _kinds(own, needs_spot=spot is not None)
    is_listed = spec.market.exchange == TRADES_AT  # of another exchange there are no snapshots
    universe = Universe(UniverseStore(home.tapes).snapshots(*kinds, symbol=symbol) if is_listed else [])
    tape, told = ended(tape, universe.end_of(own, symbol))
    if is_carry:
        tape, unsettled = until_settled(tape, universe.funding_told(symbol))
        told += unsettled
    elif own is Market.PERP:
        told += not_charged(tape, universe.funding_told(symbol))
    if spot is not None:
        spot, of_spot = ended(spot, universe.end_of(Market.SPOT, symbol))
        tape, spot = shared_stretch(tape, spot)
        told += of_spot
    found = rules_as_of(universe, spec, tape.start_ms, tape.end_ms)
    settings = read_settings(home.settings_file)
    return Tapes(tape, conditions_for(home, settings, spec, found.rules), spot), (*told, *found.told)


def _kinds(own: Market, *, needs_spot: bool) -> list[Kind]:
    """The snapshots that tell of a spec's markets."""
    of_perp = [Kind.PERP, Kind.BRACKETS, Kind.FUNDING] if own is Market.PERP else []
    return of_perp + [Kind.SPOT] * (needs_spot or own is Market.SPOT)


def not_charged(perp: Tape, told: Sequence[Told] = ()) -> tuple[str, ...]:
    """Of rules on a perpetual: that settlements are missing, whose funding their trades are not charged."""
    missing = missing_settlements(perp.funding, perp.start_ms, perp.end_ms, told)
    if not missing:
        return ()
    lost = f"{len(missing)}, the first at {missing[0]}"
    return (f"{perp.market} {perp.symbol}: settlements missing: {lost}; their funding is not charged",)


def until_settled(perp: Tape, told: Sequence[Told] = ()) -> tuple[Tape, tuple[str, ...]]:
    """A carry's perpetual up to the first settlement after which none is recorded, and what to tell of it.

    The archive publishes settlements by whole months: the running month has bars, and no payment is not a payment of
    zero.
    """
    missing = missing_settlements(perp.funding, perp.start_ms, perp.end_ms, told)
    lost = next((one for one in missing if one.lack is Lack.AFTER), None)
    if lost is None:
        return perp, ()
    kept = perp.window(perp.start_ms, lost.time_ms // perp.interval_ms * perp.interval_ms)
    line = f"{perp.market} {perp.symbol}: settlements are recorded until before {iso(lost.time_ms)}, "
    return kept, (f"{line}{len(perp) - len(kept):,} later bars left out; fetch the rest of them",)


def file_it(home: Home, spec: StrategySpec, judgement: Judgement, *, is_ours: bool) -> list[str]:
    """Write the evidence and its tables; what to tell of where they are."""
    evidence = judgement.evidence
    if is_ours and not (evidence_folder(home) / f"{spec.id}.json").exists():
        path = save_evidence(home, judgement)
        return [f"Evidence: {path}", *(f"Trades: {path.with_suffix('.trades.csv')}" for _ in judgement.trades_csv[:1])]
    folder = home.root / "backtests" / spec.id / evidence.evidence_sha256[:12]
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "spec.json": dump_spec(spec),
        "page.md": evidence_markdown(evidence).encode(),
        **{f"{spec.id}.{table}.csv": content for table, content in judgement.tables.items()},
    }
    for name, content in contents.items():
        if content:
            write_atomic(folder / name, content)
    write_json(folder / "evidence.json", evidence.to_json(), schema=EVIDENCE_SCHEMA)
    told = [f"Evidence: {folder / 'evidence.json'}"]
    return told + [f"Trades: {folder / f'{spec.id}.trades.csv'}" for _ in judgement.trades_csv[:1]]


def _spot_of_basis(home: Home, spec: StrategySpec, stretch: Stretch) -> Tape:
    try:
        return _tape(home, spec, Market.SPOT, stretch)
    except DataProviderError as error:
        raise DataProviderError(f"{spec.id}: its rules read the basis, which needs spot too: {error}") from error


def _tape(home: Home, spec: StrategySpec, market: Market, stretch: Stretch) -> Tape:
    wanted = (market, spec.market.native_symbol, spec.market.timeframe, stretch.start_ms, stretch.end_ms)
    if stretch.folder is not None:
        return import_recorded(stretch.folder, *wanted)
    return TapeStore(shelf(home, spec.market.exchange)).load(*wanted)
