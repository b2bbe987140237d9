"""The simulator's performance is reached through the trial ledger only: every importer is known, and says why it may.

Found in the source: whatever `ops`, `ai_brain`, the rest of `trading` and the scripts import that could tell how a
strategy did. `tests/ops/test_ledger_first.py` shows of those that do tell it that the ledger comes first.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

SIMULATOR = "trading.simulator"
PACKAGES = frozenset({"trading", SIMULATOR, "ai_brain", "ai_brain.evidence", "ai_brain.paper", "ops"})
"""Whoever imports one of them as a whole has all that is in it."""

TELLS_NOTHING = frozenset(
    f"{SIMULATOR}.{name}"
    for name in (
        "costs",  # what a fill costs
        "fee_tiers",
        "code_version",  # hashes of sources
        "book_walk",  # what a market order pays in a book that is there to be seen
        "charged",  # what the impact law charges given orders
        "compiled",  # compiles kernels on bars of its own and returns nothing
        "snapshot",  # a memory as JSON and back
        "records.Acted",  # names of reasons
        "carry_records.CarryActed",
        "carry_weights",  # settings of that decision
        "carry_outlook",  # what settled rates let expect, and the carry's decision; nothing of how one did
        "carry_numbers.carry_terms",
        "settlements.on_minutes",
        "executors.settings",
        "executors.cluster",  # addresses and certificates
    )
)
"""Of the simulator, modules and names by which nobody learns how a strategy did. Everything else counts."""

REACHES: dict[str, frozenset[str]] = {
    "ai_brain.evidence.rule_run": frozenset({"left_open"}),
    "ai_brain.evidence.carry_run": frozenset(),
    "ai_brain.evidence.case": frozenset({"Bench", "Look", "Tapes"}),
    "ai_brain.evidence.fingerprint": frozenset(),
    "ai_brain.evidence.cheap_rejection": frozenset(),
    "ai_brain.evidence.walk": frozenset(),
    "ai_brain.evidence.at_the_vault": frozenset(),
    "ai_brain.evidence.stress": frozenset({"STRETCHES"}),
    "ai_brain.strategy_evaluator": frozenset(),
    "ai_brain.campaign": frozenset(),
    "ai_brain.calibration.planted_edge": frozenset({"drift_for", "drift_on", "plant", "planted_spec"}),
    "ai_brain.calibration.trials_of_the_gate": frozenset({"Outcome", "Plan"}),
    "ai_brain.paper.rule_book": frozenset(),
    "ai_brain.paper.carry_book": frozenset(),
    "ai_brain.paper.books": frozenset({"terms", "terms_sha256", "weights_for"}),
    "ai_brain.paper.parity": frozenset({"NOT_BEGUN", "Parity", "ParityStatus"}),
    "ai_brain.paper.still_held": frozenset({"HELD"}),
    "ai_brain.paper.closed_trades": frozenset({"carried"}),
    "ops.judgement.farm": frozenset(),
    "ops.judgement.search": frozenset(),
    "ops.nightly.live_parity": frozenset(),
    "ops.nightly.parity": frozenset({"Asked", "Compared"}),
    "ops.judgement.verify": frozenset(),
}
"""Our own modules behind the doors, whose importers are asked in their turn; with the names that tell nothing."""


@dataclass(frozen=True, slots=True)
class Door:
    """What a module may import, and why nobody learns a performance by it that the ledger does not hold."""

    names: frozenset[str]
    why: str


def door(why: str, *names: str) -> Door:
    return Door(frozenset(names), why)


DOORS: dict[str, Door] = {
    "ai_brain.evidence.rule_run": door(
        "turns a run into the gate's words; only Case calls it",
        f"{SIMULATOR}.simulate.simulate",
        f"{SIMULATOR}.simulate.Result",
        f"{SIMULATOR}.open_trade.OpenTrade",
    ),
    "ai_brain.evidence.carry_run": door(
        "the same of a carry; only Case calls it", f"{SIMULATOR}.carry.simulate_carry", f"{SIMULATOR}.carry.CarryResult"
    ),
    "ai_brain.evidence.case": door(
        "records a run in the ledger before it tells it; the fingerprint is positions, no result",
        "ai_brain.evidence.rule_run.run_rules",
        "ai_brain.evidence.carry_run.run_carry",
        "ai_brain.evidence.fingerprint.fingerprint",
    ),
    "ai_brain.evidence.fingerprint": door(
        "looks at where positions begin and end on a made-up market, at no price and no result",
        f"{SIMULATOR}.simulate.simulate",
    ),
    "ai_brain.evidence.cheap_rejection": door(
        "counts the bars on which rules could speak; no position is opened", f"{SIMULATOR}.simulate.signals"
    ),
    "ai_brain.evidence.code_version": door("hashes the files of the packages; runs nothing", "ai_brain.evidence"),
    "ai_brain.evidence.walk": door("runs and looks through Case alone", "ai_brain.evidence.case.Case"),
    "ai_brain.evidence.at_the_vault": door(
        "runs and looks through Case alone",
        "ai_brain.evidence.case.Case",
        "ai_brain.evidence.walk.benchmarks",
        "ai_brain.evidence.walk.look_into_vault",
    ),
    "ai_brain.evidence.stress": door("runs and looks through Case alone", "ai_brain.evidence.case.Case"),
    "ai_brain.strategy_evaluator": door(
        "judges, through Case alone",
        "ai_brain.evidence.case.Case",
        "ai_brain.evidence.cheap_rejection",
        "ai_brain.evidence.stress.under_stress",
        *(f"ai_brain.evidence.walk.{name}" for name in ("next_to", "slippage_ends", "walk_forward", "worse")),
        *(
            f"ai_brain.evidence.at_the_vault.{name}"
            for name in ("judge_at_vault", "statistics_of", "tell_beside", "tell_record")
        ),
    ),
    "ai_brain.campaign": door(
        "records all first looks of a search before any is told; the rest it leaves to the evaluator",
        "ai_brain.evidence.case.Case",
        "ai_brain.evidence.cheap_rejection.of_twin",
        *(
            f"ai_brain.strategy_evaluator.{name}"
            for name in (
                "concluded",
                "judge_vault",
                "power_now",
                "searched_run",
                "stands_before_vault",
                "stands_on_search",
                "worth_a_look",
            )
        ),
    ),
    "ai_brain.calibration.planted_edge": door(
        "measures on made-up markets the drift that it plants there",
        f"{SIMULATOR}.metrics.sharpe",
        f"{SIMULATOR}.simulate.simulate",
        f"{SIMULATOR}.simulate.rule_parameters",
    ),
    "ai_brain.calibration.trials_of_the_gate": door(
        "searches made-up markets and compares the gate's answer with the truth; tells shares, no strategy's result",
        "ai_brain.campaign.Campaign",
        "ai_brain.campaign.campaign",
        f"{SIMULATOR}.population.simulate_population",
        f"{SIMULATOR}.simulate.simulate",
    ),
    "ops.judgement.calibrate": door(
        "counts campaigns on made-up markets",
        "ai_brain.calibration.trials_of_the_gate.noise_campaign",
        "ai_brain.calibration.trials_of_the_gate.planted_campaign",
    ),
    "ai_brain.paper.rule_book": door(
        "steps live bars as they close; shown as paper, never as a choice among backtests",
        f"{SIMULATOR}.stepper.Stepper",
        f"{SIMULATOR}.stepper.StepFill",
    ),
    "ai_brain.paper.carry_book": door(
        "the same of a carry", f"{SIMULATOR}.carry_stepper.CarryStepper", f"{SIMULATOR}.carry_stepper.CarryStep"
    ),
    "ai_brain.paper.books": door(
        "opens the book of a paper account", "ai_brain.paper.rule_book.RuleBook", "ai_brain.paper.carry_book.CarryBook"
    ),
    "ai_brain.paper_trading_engine": door(
        "steps the books of strategies that the gate let through", "ai_brain.paper.books.open_book"
    ),
    "ai_brain.paper.parity": door(
        "does again what paper has done already, to compare it",
        f"{SIMULATOR}.replay.Replay",
        f"{SIMULATOR}.replay.replay",
        f"{SIMULATOR}.replay.replay_carry",
        "ai_brain.paper.closed_trades.trades_of",
        "ai_brain.paper.still_held.equity_differences",
    ),
    "ai_brain.paper.closed_trades": door("what that comparison found closed", f"{SIMULATOR}.replay.Replay"),
    "ai_brain.paper.still_held": door("what that comparison found still open", f"{SIMULATOR}.replay.Replay"),
    "ops.nightly.parity": door(
        "compares paper accounts and closed live positions at night",
        "ai_brain.paper.parity.compare",
        "ops.nightly.live_parity.live_against_model",
    ),
    "ops.jobs.parity": door(
        "the night that asks for it", "ops.nightly.parity.LiveTold", "ops.nightly.parity.compare_night"
    ),
    "ops.nightly.live_verdict": door(
        "says whether what was traded live is too far from its backtest", "ops.nightly.live_parity.LiveParity"
    ),
    "ops.nightly.parity_command": door(
        "the same comparison by hand, on bars that paper and the live desk have had",
        "ai_brain.paper.parity.compare",
        "ops.nightly.live_parity.live_against_model",
    ),
    "ops.nightly.live_parity": door(
        "does again what was traded live already, to compare it",
        f"{SIMULATOR}.replay.replay_carry",
        "ai_brain.paper.closed_trades.trades_of",
        "ai_brain.paper.still_held.held_in_replay",
    ),
    "ops.judgement.search": door(
        "judges through the gate, in a process of its own",
        "ai_brain.campaign.Campaign",
        "ai_brain.campaign.campaign",
    ),
    "ops.jobs.evaluation": door("judges through the gate", "ops.judgement.search.searched"),
    "ops.judgement.backtest": door(
        "judges through the gate; verifies what is published",
        "ai_brain.strategy_evaluator.evaluate",
        "ops.judgement.verify.verify",
    ),
    "ops.judgement.verify": door(
        "derives published looks again; those that the ledger does not hold are recorded first",
        "ai_brain.strategy_evaluator.evaluate",
    ),
    "ops.judgement.worker": door(
        "does parts for whoever asked and tells the result to nobody else",
        f"{SIMULATOR}.executors.farm_worker.WorkerPlan",
        f"{SIMULATOR}.executors.farm_worker.run_scheduler",
        f"{SIMULATOR}.executors.farm_worker.run_worker",
    ),
    "ops.judgement.farm": door(
        "holds bytes against bytes on a synthetic tape; tells that they are equal and no result",
        f"{SIMULATOR}.executors.farm.Farm",
        f"{SIMULATOR}.executors.parts.Executor",
        f"{SIMULATOR}.executors.parts.Terms",
        f"{SIMULATOR}.executors.parts.Threads",
        f"{SIMULATOR}.executors.processes.Processes",
        f"{SIMULATOR}.population.PopulationResult",
    ),
    "ops.cli": door("starts the farm's check", "ops.judgement.farm.run_farm"),
}

STAND_INS = {"ops.judgement.books_of_the_day": "LedgerOfTheDay"}
"""Classes that stand for the ledger: this one says what it said on the day, and passes on looks that it lacks."""


def modules() -> Iterator[tuple[str, Path]]:
    """Every module that could reach the simulator from outside it, by its dotted name."""
    for base, folder in ((ROOT, "ops"), (ROOT, "ai_brain"), (ROOT / "src", "trading")):
        for path in sorted((base / folder).rglob("*.py")):
            name = ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
            if not name.startswith(SIMULATOR):
                yield name, path
    yield from ((path.stem, path) for path in sorted(ROOT.glob("*.py")))


def tells(name: str) -> bool:
    """Whether one could learn a performance by this module or name."""
    if name in PACKAGES:
        return True
    if name.startswith(f"{SIMULATOR}."):
        return not any(name == quiet or name.startswith(f"{quiet}.") for quiet in TELLS_NOTHING)
    module, _, member = name.rpartition(".")
    return name in REACHES or (module in REACHES and member not in REACHES[module])


def imported(tree: ast.Module) -> set[str]:
    """Everything that is imported anywhere in it, by its full name; also by a string that names a module."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module if not node.level else '.'}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in PACKAGES:
            found |= {node.value} if node.value.startswith(f"{SIMULATOR}.") or node.value in REACHES else set()
    return found


def reached(tree: ast.Module) -> set[str]:
    return {name for name in imported(tree) if tells(name) or name.startswith(".")}


@dataclass(frozen=True, slots=True)
class Seen:
    """What one reading of a module shows."""

    reached: set[str]
    ledgers: list[str]
    """Classes that stand for the trial ledger."""


@cache
def seen() -> dict[str, Seen]:
    """Every module, read once for all that is asked of it; of its syntax nothing is kept."""
    found = dict[str, Seen]()
    for name, path in modules():
        tree = ast.parse(path.read_text())
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        found[name] = Seen(reached(tree), [one.name for one in classes if stands_for_the_ledger(one)])
    return found


def stands_for_the_ledger(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).endswith("TrialLedger") for base in node.bases)


def test_nothing_reaches_the_performance_of_a_strategy_but_by_a_known_door() -> None:
    unknown = {
        module: sorted(beyond)
        for module, found in seen().items()
        if (beyond := found.reached - DOORS.get(module, door("")).names)
    }
    assert unknown == {}, (
        "each imports what stands beside it, by which it can learn how a strategy did before the trial ledger knows. "
        "Judge through ai_brain.strategy_evaluator.evaluate, or write to TrialLedger.record before anything that "
        "chooses or shows may see it. If it tells nobody, say so in one line in DOORS here; if the name holds no "
        "performance at all, add it to TELLS_NOTHING."
    )


def test_no_door_is_kept_that_nobody_uses() -> None:
    there = {name: found.reached for name, found in seen().items()}
    for module, kept in DOORS.items():
        assert kept.why
        assert kept.names <= there.get(module, set()), f"{module} no longer imports all this: strike it from DOORS"
    assert set(REACHES) <= set(DOORS), "who reaches is a door too"


def test_every_door_is_followed_to_whoever_opens_it() -> None:
    """A module with a door of the simulator is in REACHES, so that its own importers are asked; but for the services
    that nobody imports a result from."""
    hands_on = {
        module for module, kept in DOORS.items() if any(name.startswith(f"{SIMULATOR}.") for name in kept.names)
    }
    assert hands_on - set(REACHES) == {"ops.judgement.worker"}


def test_nothing_stands_for_the_ledger_but_the_one_that_verifies() -> None:
    found = {name: ledger for name, module in seen().items() for ledger in module.ledgers}
    assert found == STAND_INS, "a ledger that does not write is a door; say in STAND_INS what it is for"


@pytest.mark.parametrize(
    "text",
    [
        "from trading.simulator.simulate import simulate",
        "from trading.simulator import population",
        "import trading.simulator.metrics as m",
        "from trading import simulator",
        "def late():\n    from trading.simulator.replay import replay",
        "import importlib\nimportlib.import_module('trading.simulator.carry')",
        "from ai_brain.evidence.rule_run import run_rules as r",
        "from ai_brain.evidence import rule_run",
        "from ai_brain.evidence.case import Bench, Case",
        "from .rule_run import anything",
    ],
)
def test_the_look_for_doors_finds_every_way_to_write_one(text: str) -> None:
    assert reached(ast.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "from trading.simulator.costs import Costs",
        "from trading.simulator.records import Acted",
        "from ai_brain.evidence.case import Bench, Tapes",
        "from ai_brain.evidence.rule_run import left_open",
        "from trading.market.tape import Tape",
        "'''trading.simulator in words'''",
    ],
)
def test_what_tells_no_performance_is_no_door(text: str) -> None:
    assert reached(ast.parse(text)) == set()
