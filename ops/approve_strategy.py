"""A human looks at the evidence and signs: `python approve_strategy.py ID`.

What is signed is the hash of the spec and of its evidence; change one parameter and the approval is void. A strategy
that failed its gate is refused, whatever the human says.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

from ai_brain.evidence.filing import load_evidence, tables_match
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.verdict import Evidence, Verdict
from ops.environment import caller, find_home
from ops.figures import each_on_average
from ops.listener import outlive_reader
from ops.object_file import read_object
from trading.domain.clock import DAY_MS, Clock, parse_iso
from trading.domain.counted import counted
from trading.domain.errors import SpecError, TradingEngineError
from trading.storage.home import Home
from trading.strategy.approval import load_key, sign
from trading.strategy.lifecycle import Stage, approve, has_lapsed
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec, spec_sha256

Ask = Callable[[str], str]
Say = Callable[[str], None]
OLD_DAYS = 7
"""A question that waited so long says so."""


def main(words: Sequence[str] | None = None) -> int:
    """The command line: 0 approved, 1 not approved, 2 refused."""
    parser = argparse.ArgumentParser(prog="approve_strategy.py", description=__doc__.splitlines()[0])
    parser.add_argument("id", help="the strategy's id, or the beginning of it")
    options = parser.parse_args(words)
    try:
        approved = approve_strategy(find_home(), options.id, ask=input, say=print, clock=Clock(), operator=caller())
    except TradingEngineError as error:
        print(f"approve_strategy.py: {error}", file=sys.stderr)
        return 2
    except (EOFError, KeyboardInterrupt):
        print("\nnot approved", file=sys.stderr)
        return 1
    return 0 if approved else 1


def approve_strategy(
    home: Home, wanted: str, *, ask: Ask, say: Say, clock: Clock, operator: str
) -> StrategySpec | None:
    """Show what is known, ask, sign.

    Args:
        home: The lab's folder.
        wanted: Id, or a unique prefix.
        ask: Puts a question to the human and returns the answer.
        say: Shows a line.
        clock: Stamps the signature.
        operator: Who signs.

    Returns:
        The approved spec; None when the human did not answer `yes`.

    Raises:
        SpecError: no such strategy, not in review, no evidence, evidence of another spec, or evidence that failed.
    """
    repository = StrategyRepository(home.strategies)
    spec = repository.get(wanted)
    evidence = check_may_be_approved(home, spec, now_ms=clock.now_ms())
    for line in what_is_known(spec, evidence, now_ms=_lab_ms(home, clock)):
        say(line)
    if ask("Approve this strategy for live trading? Type yes: ").strip() != "yes":
        say("Not approved. Nothing was changed.")
        return None
    at_ms = clock.now_ms()
    signature = sign(
        load_key(home.state / "approval.key"),
        spec_sha256=spec_sha256(spec),
        evidence_sha256=evidence.evidence_sha256,
        operator=operator,
        at_ms=at_ms,
    )
    approved = approve(spec, by=operator, at_ms=at_ms, evidence_sha256=evidence.evidence_sha256, signature=signature)
    path = repository.save(approved)
    say(f"Approved and signed: {path}. It trades only after: python go_live.py")
    return approved


def check_may_be_approved(home: Home, spec: StrategySpec, *, now_ms: int) -> Evidence:
    """The evidence of a spec that waits for a human.

    Raises:
        SpecError: what stands against it, with what to do.
    """
    if spec.stage is not Stage.REVIEW:
        raise SpecError(f"{spec.id}: stage={spec.stage}: only a strategy in review can be approved")
    if spec.approved_at is not None and not has_lapsed(spec, now_ms):
        raise SpecError(f"{spec.id}: approved_at={spec.approved_at}: already approved; go on with python go_live.py")
    evidence = load_evidence(home, spec.id)
    if evidence is None:
        raise SpecError(f"{spec.id}: no evidence in {home.state / 'evidence'}: it has not passed the gate; let it run")
    if evidence.spec_sha256 != spec_sha256(spec):
        raise SpecError(
            f"{spec.id}: the evidence is of another spec: parameters were changed since; let it be tested anew"
        )
    if not tables_match(home, evidence):
        raise SpecError(f"{spec.id}: its tables of trades are not those it was judged on; let it be tested anew")
    if evidence.verdict is not Verdict.APPROVED:
        raise SpecError(f"{spec.id}: verdict={evidence.verdict}: it failed its gate and cannot be approved by anyone")
    return evidence


def paper_in_words(shown: Mapping[str, object]) -> str:
    """The paper account's block as one line; rates with their n."""
    if not shown:
        return "nothing"
    net, low, high = (float(str(shown[key])) for key in ("net_return", "mean_low", "mean_high"))
    trades, settlements = (counted(int(str(shown[f"{noun}s"])), noun) for noun in ("trade", "settlement"))
    return (
        f"{net:+.3%} net in {float(str(shown['hours'])) / 24:.1f} days, n = {shown['results']} "
        f"({trades}, {settlements}), {each_on_average(low, high)}"
    )


def _lab_ms(home: Home, clock: Clock) -> int:
    """When the lab's last cycle was: a demo lives in a time of its own."""
    at_ms = read_object(home.heartbeat_file, []).get("at_ms")
    return at_ms if isinstance(at_ms, int) else clock.now_ms()


def how_old(spec: StrategySpec, now_ms: int) -> list[str]:
    """That its paper ended when the question was asked, where that is long ago."""
    asked = next(move.at for move in reversed(spec.history) if move.to is Stage.REVIEW is not move.from_)
    days = (now_ms - parse_iso(asked)) // DAY_MS
    if days < OLD_DAYS or not spec.performance.dry_run:
        return []
    return [
        f"Paper ended when you were asked, {asked[:10]}: what the market did in {days} days since is in none of this."
    ]


def what_is_known(spec: StrategySpec, evidence: Evidence, *, now_ms: int) -> list[str]:
    """Everything a human should read before signing."""
    return [
        f"{spec.id}: {spec.name} ({spec.type}, {spec.market.symbol} {spec.market.timeframe})",
        f"Thesis: {spec.origin.thesis}",
        f"What would refute it: {spec.origin.refutation}",
        "",
        *evidence_markdown(evidence).splitlines(),
        "",
        f"Paper so far: {paper_in_words(spec.performance.dry_run)}",
        *how_old(spec, now_ms),
        "Risks: a backtest is no promise; funding can turn; a perpetual can be liquidated; a venue can fail.",
        f"Hash of the spec: {spec_sha256(spec)}",
        f"Hash of the evidence: {evidence.evidence_sha256}",
    ]


if __name__ == "__main__":
    outlive_reader()
    sys.exit(main())
