"""A published verdict derived anew: the tapes it names by hash, its costs, today's code; every number compared.

What the trial ledger said on the day is taken from the evidence, for it has grown since. A look that it holds is not
recorded again, for whoever sees the same numbers has learned nothing new; one that came out otherwise is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.code_version import code_sha256
from ai_brain.evidence.filing import load_evidence, tables_match
from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.graveyard import NoGraveyard
from ai_brain.evidence.records import rules_of, weights_of
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.trial_ledger import TrialLedger
from ai_brain.evidence.verdict import DataUsed, Evidence
from ai_brain.strategy_evaluator import evaluate
from ops.environment import read_environment
from ops.history.shelf import shelf
from ops.judgement.books_of_the_day import LedgerOfTheDay, StreamOfTheDay, VaultOfTheDay
from ops.learning import open_learning_db
from ops.settings import read_settings
from ops.universe.known_rules import rules_for
from trading.domain.clock import Clock, iso
from trading.domain.errors import DataProviderError, SpecError
from trading.domain.instrument import Market
from trading.market.store import TapeStore
from trading.market.tape import Funding, Tape, make_tape
from trading.simulator.costs import CarryCosts, Costs
from trading.storage.home import Home
from trading.strategy.spec import CarryParameters, StrategySpec, spec_sha256

TOLD = 20
"""Most differing numbers that are printed."""
ORIGIN = "verify"
"""Who looked, in the trial ledger, where a look was new."""
_NO_NUMBER = ("at_ms", "code_sha256", "settings_sha256")
_NUMBERS = (int, float)
_LEGS = ("spot_", "perp_")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as published."""

    kind: str
    """`spec`, `data`, `code`, `settings`, `table` or `number`."""
    what: str
    published: object
    found: object

    def __str__(self) -> str:
        return f"{self.kind:8}  {self.what}: published {self.published!r}, found {self.found!r}"


def verify(home: Home, spec: StrategySpec) -> int:
    """Hold a strategy's evidence against a derivation of today and print what came out.

    Returns:
        0: the same, bit for bit; 1: something differs.

    Raises:
        SpecError: it was never judged.
        DataProviderError: its market is not in the store.
        StateFileError: a look that is new could not be recorded; then nothing is printed.
    """
    published = load_evidence(home, spec.id)
    if published is None:
        raise SpecError(f"{spec.id}: no evidence in {home.state / 'evidence'}: it was never judged; nothing to verify")
    if published.deciding in (GateReason.ALREADY_REFUSED, GateReason.DUPLICATE):
        print(f"{spec.id}: refused from memory without a look, so there is no number to derive")
        return 0
    tapes, differences = pinned_tapes(home, spec, published)
    differences += inputs_of(home, spec, published)
    found, new_looks = derive(home, spec, tapes, published)
    numbers = list(differing(published.to_json(), found.to_json()))
    print(f"{spec.id}: {published.name}, published {iso(published.at_ms)} as {published.verdict}")
    for used in published.data:
        print(f"tape      {used.market} {used.symbol} {used.interval} {used.bars} bars, sha256 {used.content_hash}")
    for difference in (*differences, *numbers[:TOLD]):
        print(difference)
    if len(numbers) > TOLD:
        print(f"number    and {len(numbers) - TOLD} more")
    if new_looks:
        print(f"ledger    {new_looks} looks that it did not hold are counted now")
    count = sum(isinstance(value, _NUMBERS) for _, value in leaves(published.to_json()))
    if not differences and not numbers:
        print(f"same, bit for bit: {count} numbers, the tables of trades, data, code and settings")
        return 0
    kinds = ", ".join(dict.fromkeys(difference.kind for difference in (*differences, *numbers)))
    print(f"differs: {kinds}" + ("" if numbers else f"; yet all {count} numbers came out the same, bit for bit"))
    return 1


def pinned_tapes(home: Home, spec: StrategySpec, published: Evidence) -> tuple[Tapes, list[Difference]]:
    """The stretches the evidence names, out of the store, and those that are not what they were.

    Raises:
        DataProviderError: a stretch is not held any more, or the evidence names no tape of the spec's market.
    """
    conditions, differences, found = conditions_of(published, spec), list[Difference](), dict[str, Tape]()
    for used in published.data:
        tape = as_judged(
            TapeStore(shelf(home, spec.market.exchange)).load(
                Market(used.market), used.symbol, used.interval, used.start_ms, used.end_ms
            ),
            used,
        )
        if tape.content_hash != used.content_hash:
            name = f"{used.market} {used.symbol} {used.interval}"
            differences.append(Difference("data", name, used.content_hash, tape.content_hash))
        found[used.market] = tape
    is_carry = isinstance(spec.parameters, CarryParameters)
    own, needs_spot = str(Market.PERP if is_carry else spec.market.market), is_carry or spec.reads_basis
    if own not in found:
        raise DataProviderError(f"{spec.id}: its evidence names no {own} tape; let it be judged anew")
    return Tapes(found[own], conditions, found.get(str(Market.SPOT)) if needs_spot else None), differences


def as_judged(tape: Tape, used: DataUsed) -> Tape:
    """A tape without the settlements the venue published only after the verdict: those at its very end."""
    later = len(tape.funding.time_ms) - used.settlements
    if tape.content_hash == used.content_hash or later <= 0:
        return tape
    f, kept = tape.funding, slice(0, used.settlements)
    return make_tape(replace(tape, funding=Funding(f.time_ms[kept], f.rate[kept], f.mark_price[kept])))


def conditions_of(published: Evidence, spec: StrategySpec) -> Conditions:
    """Costs as published; the venue's steps as published, or the known ones where the evidence does not say."""
    told = published.to_json().get("rules")
    rules = rules_of(told) if isinstance(told, dict) and told else rules_for(spec)
    costs = published.costs
    if not isinstance(spec.parameters, CarryParameters):
        return Conditions(
            rules=rules, costs=Costs(**costs), starting_quote=published.starting_quote, slippage=published.slippage
        )
    spot, perp = ({name.removeprefix(leg): v for name, v in costs.items() if name.startswith(leg)} for leg in _LEGS)
    carry_costs = CarryCosts(Costs(**spot), Costs(**perp), weights_of(costs))
    return Conditions(
        rules=rules, carry_costs=carry_costs, starting_quote=published.starting_quote, slippage=published.slippage
    )


def inputs_of(home: Home, spec: StrategySpec, published: Evidence) -> list[Difference]:
    """What else a verdict rests on, compared: spec, code, settings, tables, and the hash in the strategy's history."""
    settings = read_settings(home.settings_file).gate
    gate = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()
    pairs = (
        ("spec", "sha256 of its parameters", published.spec_sha256, spec_sha256(spec)),
        ("code", "sha256 of simulator, rules and gate", published.code_sha256, code_sha256()),
        ("settings", "sha256 of the gate's", published.settings_sha256, gate),
    )
    differences = [Difference(*pair) for pair in pairs if pair[2] != pair[3]]
    if not tables_match(home, published):
        differences.append(Difference("table", f"{spec.id}.*.csv", published.trades_sha256, "another or none"))
    signed = [move.evidence_sha256 for move in spec.history if move.evidence_sha256]
    if signed and published.evidence_sha256 not in signed:
        differences.append(Difference("spec", "evidence hash in its history", signed[-1], published.evidence_sha256))
    return differences


def derive(home: Home, spec: StrategySpec, tapes: Tapes, published: Evidence) -> tuple[Evidence, int]:
    """The evidence as today's code makes it from these tapes, and how many looks at it the ledger did not hold.

    Raises:
        StateFileError: a new look could not be recorded; then nothing may be shown.
    """
    clock, database = Clock(), open_learning_db(home, read_environment(home))
    try:
        ledger = LedgerOfTheDay(published, TrialLedger(database, clock))
        bench = Bench(
            ledger,
            NoGraveyard(),
            VaultOfTheDay(published),
            StreamOfTheDay(published),
            clock=clock,
            settings=read_settings(home.settings_file).gate,
            origin=ORIGIN,
        )
        evidence = evaluate(spec, tapes, bench, search=published.overfitting).evidence
    finally:
        database.close()
    return evidence, ledger.new_looks


def differing(published: Mapping[str, object], found: Mapping[str, object]) -> Iterator[Difference]:
    """Every value of the evidence that came out otherwise, but for the time and the hashes told apart."""
    old, new = dict(leaves(published)), dict(leaves(found))
    for name in dict.fromkeys((*old, *new)):
        if name not in _NO_NUMBER and (name not in old or name not in new or old[name] != new[name]):
            yield Difference("number", name, old.get(name, "nothing"), new.get(name, "nothing"))


def leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """`(path, value)` of everything in a JSON value that is no list and no object: `stretches.1.net_return`."""
    if isinstance(value, dict):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        items = [(str(number), item) for number, item in enumerate(value)]
    else:
        yield name, value
        return
    for key, item in items:
        yield from leaves(item, f"{name}.{key}" if name else key)
