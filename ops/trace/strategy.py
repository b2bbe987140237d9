"""`./lab trace strategy`: one strategy's moves, evidence, lives, paper account and trials."""

from __future__ import annotations

from collections.abc import Iterator

from ai_brain.evidence.filing import evidence_folder, load_evidence
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.trial_ledger import TrialLedger
from ai_brain.paper.account import PaperAccount, account_path, load_account
from ops.columns import columns
from ops.environment import find_home, read_environment
from ops.learning import is_there, open_learning_db
from ops.trace.living import life_lines
from trading.domain.clock import Clock, iso
from trading.storage.home import Home
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec, spec_sha256

TRADES_TOLD = 20
"""Most paper trades that are listed."""


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
    print("\n".join(columns(("at", "from", "to", "by", "why", "evidence", ""), moves)) or "none")
    for lines in (_evidence_lines, life_lines, _paper_lines, _trial_lines):
        print("\n" + "\n".join(lines(home, spec)))
    return 0


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
