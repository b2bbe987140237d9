"""The gate's questions, each a pure function from numbers to a finding with both of them."""

from __future__ import annotations

from math import inf

from ai_brain.evidence.gate_reasons import ONLY_CAUTION, GateReason
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.months import without_months
from ai_brain.evidence.return_moments import ReturnMoments
from ai_brain.evidence.run import Run
from ai_brain.evidence.verdict import Confirmation, Finding, Neighbours, Overfitting, Statistics
from trading.domain.counted import counted
from trading.domain.market import YEAR_MS
from trading.strategy.spec import CarryParameters, RuleParameters

CENT = 0.01
"""Quote: books that are off by more do not add up."""
FUNDING_TOLERANCE = 0.01
"""Relative: between a carry's booked funding and rate × notional summed from the tape."""


def at_least(reason: GateReason, value: float, limit: float, note: str) -> Finding:
    """Passes when value >= limit."""
    return _finding(reason, value >= limit, value, limit, note)


def above(reason: GateReason, value: float, limit: float, note: str) -> Finding:
    """Passes when value > limit; what is not a number does not."""
    return _finding(reason, value > limit, value, limit, note)


def at_most(reason: GateReason, value: float, limit: float, note: str) -> Finding:
    """Passes when value <= limit; what is not a number does not."""
    return _finding(reason, value <= limit, value, limit, note)


def refusal(reason: GateReason, note: str) -> Finding:
    """A refusal without numbers of its own."""
    return Finding(reason=reason, passed=False, refuses=True, value=None, limit=0.0, note=note)


def of_search(run: Run, confidence: float, settings: GateSettings) -> list[Finding]:
    """Asked of the first look: did it trade at all, did it keep anything, and is it worth a second look?

    Args:
        run: The search stretch.
        confidence: That its true Sharpe ratio lies above zero (`probabilistic_sharpe`).
        settings: How sure a candidate must be.
    """
    opened = counted(run.entries, "position")
    return [
        at_least(GateReason.NO_TRADES, run.entries, 1, f"{opened} opened on the search stretch."),
        above(
            GateReason.LOST_ON_SEARCH, run.net_return, 0.0, f"Net return on the search stretch {run.net_return:+.3%}."
        ),
        at_least(
            GateReason.WEAK_ON_SEARCH,
            confidence,
            settings.search_confidence,
            f"Sure by {confidence:.0%} that it earns at all, seen on the search stretch.",
        ),
    ]


def of_sample(known: Run, walked: Run, *, is_carry: bool, settings: GateSettings) -> list[Finding]:
    """Is there enough of it before the vault, and did the walk-forward win, without a liquidation?

    Args:
        known: Search and walk-forward as one.
        walked: The chain of judged stretches before the vault.
        is_carry: Then settlements count, and trades do not.
        settings: The least of either.
    """
    if is_carry:
        enough = at_least(
            GateReason.TOO_FEW_SETTLEMENTS,
            known.settlements,
            settings.min_settlements,
            f"{known.settlements} settlements in position before the vault, {settings.min_settlements} needed.",
        )
    else:
        enough = at_least(
            GateReason.TOO_FEW_TRADES,
            len(known.trades),
            settings.min_trades,
            f"{len(known.trades)} closed trades before the vault, {settings.min_trades} needed.",
        )
    return [
        enough,
        above(
            GateReason.LOST_ON_VALIDATION,
            walked.net_return,
            0.0,
            f"Net return on the walk-forward stretches {walked.net_return:+.3%}.",
        ),
        at_most(GateReason.LIQUIDATED, known.liquidations, 0, f"{known.liquidations} liquidations before the vault."),
    ]


def of_fragility(doubled: Run, late: Run) -> list[Finding]:
    """Asked of everything before the vault, run again under worse conditions."""
    return [
        above(
            GateReason.LOST_AT_DOUBLE_COST,
            doubled.net_return,
            0.0,
            f"Net return with all costs doubled {doubled.net_return:+.3%}.",
        ),
        above(
            GateReason.LOST_ONE_BAR_LATE,
            late.net_return,
            0.0,
            f"Net return with entries one bar late {late.net_return:+.3%}.",
        ),
    ]


def of_neighbours(found: Neighbours, settings: GateSettings) -> list[Finding]:
    """Asked of what lies next to it: is the result a ridge, or a needle that one number more or less misses?"""
    pct = 100.0 * found.earning / found.count
    note = (
        f"{found.earning} of {found.count} strategies with one number a tenth away earned too, "
        f"{found.median_net_return:+.3%} in the middle; the worst {found.worst_net_return:+.3%} with {found.worst}."
    )
    return [at_least(GateReason.FRAGILE_PARAMETERS, pct, settings.min_neighbours_earning_pct, note)]


def of_months(run: Run) -> list[Finding]:
    """Asked of everything before the vault: did it live on one month? Less than 90 days are not asked."""
    if float(run.returns.min()) <= -1.0 or (without := without_months(run.open_time_ms, run.returns)) is None:
        return []
    note = (
        f"Net return {without.without_best:+.3%} without {without.best}, the best of {without.months} months; "
        f"{without.without_worst:+.3%} without {without.worst}, the worst."
    )
    return [above(GateReason.ONE_LUCKY_MONTH, without.without_best, 0.0, note)]


def of_stress(name: str, run: Run) -> list[Finding]:
    """Asked of a hard stretch of the past: what lost is told, what was liquidated is refused."""
    note = f"{run.liquidations} liquidations in the {name}, net return {run.net_return:+.3%}."
    return [at_most(GateReason.LIQUIDATED_IN_STRESS, run.liquidations, 0, note)]


def of_luck(s: Statistics, search: Overfitting | None, settings: GateSettings) -> list[Finding]:
    """Asked before the vault is opened: is it worth that, and did choosing among others bring anything?

    The probability of backtest overfitting is about a half on noise with a wide spread, and says as little on a search
    in which one of many ideas is true: so it refuses only what is not sure by itself.
    """
    found = []
    if search is not None:
        note = (
            f"In {search.probability:.0%} of the ways to halve the search stretch the best of its "
            f"{search.strategies} strategies in one half was below the middle in the other."
        )
        sure = s.deflated_sharpe >= settings.overfitted_deflated_sharpe
        allowed = 1.0 if sure else settings.max_overfitting
        found.append(at_most(GateReason.OVERFITTED_SEARCH, search.probability, allowed, note))
    note = f"Deflated Sharpe before the vault {s.deflated_sharpe:.3f} with N = {counted(s.trials, 'idea')} tried."
    found.append(at_least(GateReason.NO_BETTER_THAN_LUCK, s.deflated_sharpe, settings.vault_deflated_sharpe, note))
    return found


def of_vault(run: Run, c: Confirmation) -> list[Finding]:
    """Asked of the vault: does the stream of all candidates let this one through?"""
    note = f"Vault: net return {run.net_return:+.3%}, p = {c.p_value:.4g} at level {c.level:.4g}, candidate {c.place}."
    return [_finding(GateReason.NOT_CONFIRMED, c.confirmed, c.p_value, c.level, note)]


def of_significance(s: Statistics, settings: GateSettings) -> list[Finding]:
    """Asked of the whole record: long enough, and better than the best of as many worthless ideas?"""
    needed = inf if s.minimum_track_record_bars is None else s.minimum_track_record_bars
    length = Finding(
        reason=GateReason.TRACK_RECORD_TOO_SHORT,
        passed=s.bars >= needed,
        refuses=True,
        value=None if needed == inf else needed,
        limit=float(s.bars),
        note=f"Minimum track record {needed:,.0f} bars at {settings.confidence:.0%}, {s.bars:,} are there."
        if needed < inf
        else "No track record of any length would do at this Sharpe.",
    )
    deflated = Finding(
        reason=GateReason.DEFLATED_SHARPE_LOW,
        passed=s.deflated_sharpe >= settings.deflated_sharpe,
        refuses=s.deflated_sharpe < settings.caution_deflated_sharpe,
        value=s.deflated_sharpe,
        limit=settings.deflated_sharpe,
        note=f"Deflated Sharpe {s.deflated_sharpe:.3f} with N = {counted(s.trials, 'idea')} tried.",
    )
    return [length, deflated]


def of_books(run: Run) -> list[Finding]:
    """Asked of every run: do equity and trades tell the same story?"""
    off = run.identity_error_quote
    return [at_most(GateReason.EQUITY_IDENTITY, off, CENT, f"Equity and trades differ by {off:.6f} quote.")]


def of_plausibility(
    parameters: RuleParameters | CarryParameters, run: Run, moments: ReturnMoments, settings: GateSettings
) -> list[Finding]:
    """Asked of the chain of judged stretches: is it a bug? `moments` are of its returns."""
    if not isinstance(parameters, RuleParameters):
        return of_carry_plausibility(run)
    risk = parameters.risk
    return of_rule_plausibility(
        run,
        moments,
        exposure_fraction=risk.position_fraction * risk.leverage,
        leverage=float(risk.leverage),
        settings=settings,
    )


def of_carry_plausibility(run: Run) -> list[Finding]:
    """Asked of a funding carry in place of the Sharpe ceiling.

    A carry earns small payments with little noise, so a high Sharpe is its nature and proves no bug; funding that is
    not the sum of the recorded rates times the notional held does.
    """
    expected = run.expected_funding_quote
    off = abs(run.funding_quote - expected)
    allowed = max(CENT, FUNDING_TOLERANCE * abs(expected))
    return [
        at_most(
            GateReason.FUNDING_MISMATCH,
            off,
            allowed,
            f"Funding booked {run.funding_quote:+.4f}, recorded rates times notional held {expected:+.4f} quote.",
        )
    ]


def of_rule_plausibility(
    run: Run, moments: ReturnMoments, *, exposure_fraction: float, leverage: float, settings: GateSettings
) -> list[Finding]:
    """Asked of a rule strategy: is it too good to be true?

    Args:
        run: The chain of judged stretches.
        moments: Of its returns.
        exposure_fraction: Capital in use while in position, fraction of equity: a small position has a small drawdown.
        leverage: Of the spec; the ceiling on return holds without leverage.
        settings: The ceilings.
    """
    years = max(run.bars * run.interval_ms / YEAR_MS, 1.0 / 365.0)
    yearly_pct = run.net_return / years * 100.0
    sharpe = moments.sharpe * run.bars_per_year**0.5
    drawdown_pct = run.max_drawdown / exposure_fraction * 100.0
    win_pct = run.win_rate * 100.0
    most = settings.max_return_pct_a_year * max(leverage, 1.0)
    found = [
        at_most(
            GateReason.SHARPE_IMPLAUSIBLE,
            sharpe,
            settings.max_sharpe_annual,
            f"Annual Sharpe {sharpe:.2f} on {len(run.trades)} trades.",
        ),
        at_most(
            GateReason.RETURN_IMPLAUSIBLE, yearly_pct, most, f"{yearly_pct:+.1f} % a year at leverage {leverage:g}."
        ),
    ]
    if run.net_return > 0.0:
        note = f"Largest drawdown {drawdown_pct:.2f} % of the capital in use."
        found.append(at_least(GateReason.DRAWDOWN_IMPLAUSIBLE, drawdown_pct, settings.min_drawdown_pct, note))
    if len(run.trades) > settings.min_trades:
        note = f"{win_pct:.1f} % of {len(run.trades)} trades won."
        found.append(at_most(GateReason.WIN_RATE_IMPLAUSIBLE, win_pct, settings.max_win_rate_pct, note))
    return found


def _finding(reason: GateReason, passed: bool, value: float, limit: float, note: str) -> Finding:
    finite = float(value) if abs(value) < inf else None
    return Finding(
        reason=reason,
        passed=bool(passed),
        refuses=reason not in ONLY_CAUTION,
        value=finite,
        limit=float(limit),
        note=note,
    )
