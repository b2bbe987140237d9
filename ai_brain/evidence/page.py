"""One page a person can read: the verdict with its deciding number first, then everything it rests on."""

from __future__ import annotations

from ai_brain.evidence.power import power_sentence
from ai_brain.evidence.verdict import Evidence, Expectancy, Finding, Neighbours, Statistics, Stretch, Verdict
from trading.domain.clock import iso
from trading.domain.market import INTERVAL_MS, YEAR_MS

MEANS = {
    Verdict.APPROVED: "it may be paper-traded, and shown to a human when paper agrees",
    Verdict.CAUTION: "it may be paper-traded, but it is not shown to a human as it is",
    Verdict.REJECTED: "it goes no further",
}


def evidence_markdown(evidence: Evidence) -> str:
    """The page, Markdown; percentages are of starting equity with all costs in them."""
    blocks = [
        [f"# {evidence.verdict}: {evidence.name} ({evidence.spec_id})"],
        [headline(evidence)],
        _origin_warning(evidence),
        [f"Thesis: {evidence.thesis or 'none given'}"],
        _quarantine(evidence),
        ["## What was asked", "", "| question | passed | measured | limit | |", "|---|---|---|---|---|"]
        + [_finding_row(finding) for finding in evidence.findings],
        _power(evidence),
        _stretches(evidence.stretches),
        _walk_forward(evidence),
        _statistics(evidence.statistics),
        _neighbours(evidence.neighbours),
        _benchmarks(evidence),
        _prediction(evidence),
        _data(evidence),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def headline(evidence: Evidence) -> str:
    """The verdict in one sentence, its deciding number first."""
    deciding = next((f for f in evidence.findings if f.reason is evidence.deciding and not f.passed), None)
    if deciding is not None:
        return f"**{evidence.deciding}: {deciding.note}** Verdict {evidence.verdict}: {MEANS[evidence.verdict]}."
    means = f"Verdict {evidence.verdict}: {MEANS[evidence.verdict]}."
    s = evidence.statistics
    return means if s is None else f"**Deflated Sharpe {s.deflated_sharpe:.3f}, N = {s.trials} ideas tried.** {means}"


def _origin_warning(evidence: Evidence) -> list[str]:
    if any(data.origin == "synthetic" for data in evidence.data):
        return ["**SYNTHETIC MARKET: made up by a generator, not by people trading.**"]
    return []


def _quarantine(evidence: Evidence) -> list[str]:
    if not evidence.quarantined:
        return []
    trades = [f"- {line}" for line in evidence.suspicious] or ["- it made no trade to show"]
    return ["**Quarantined: too good to be true is a bug until proven otherwise.** Look at these first:", "", *trades]


def _finding_row(finding: Finding) -> str:
    value = "none" if finding.value is None else f"{finding.value:.6g}"
    sign = "yes" if finding.passed else ("**NO**" if finding.refuses else "no, caution")
    return f"| {finding.reason} | {sign} | {value} | {finding.limit:.6g} | {finding.note} |"


def _stretches(stretches: tuple[Stretch, ...]) -> list[str]:
    if not stretches:
        return []
    head = ["## Stretches", "", "| stretch | from | to | entries | trades | left open | settlements | net |"]
    head[-1] += " Sharpe a year | drawdown | fees | slippage | funding |"
    rows = [
        f"| {s.name} | {iso(s.start_ms)} | {iso(s.end_ms)} | {s.entries} | {s.trades} | {s.left_open} | "
        f"{s.settlements} | {s.net_return:+.3%} | {s.sharpe_annual:.2f} | {s.max_drawdown:.3%} | {s.fees_quote:.2f} | "
        f"{s.slippage_quote:.2f} | {s.funding_quote:+.2f} |"
        for s in stretches
    ]
    return [*head, "|" + "---|" * 13, *rows]


def _walk_forward(evidence: Evidence) -> list[str]:
    judged = evidence.judged
    if not judged:
        return []
    purges = ", ".join(str(s.purge_bars) for s in judged)
    holdings = ", ".join(str(s.holding_bars) for s in judged)
    short = any(s.purge_bars < s.holding_bars for s in judged)
    return [
        "## Walk-forward",
        "",
        f"- {evidence.positive} of {len(judged)} judged stretches positive; walk-forward is their chain, compounded",
        "- parameters fixed: the same in every stretch, nothing was chosen on one to be judged on the next",
        "- each begins flat, indicators warmed up on the bars before it; what is left open at its end is marked at the "
        "last close, the cost of closing it not paid",
        f"- bars left out before each: {purges}; longest holding known by then: {holdings}"
        + (" (longer than could be left out on this tape)" if short else ""),
        f"- amounts are of accounts that begin each stretch with {evidence.starting_quote:,.0f}",
    ]


def _statistics(s: Statistics | None) -> list[str]:
    if s is None:
        return []
    needed = "none" if s.minimum_track_record_bars is None else f"{s.minimum_track_record_bars:,.0f}"
    return [
        "## Significance of the walk-forward chain",
        "",
        f"- n = {s.bars:,} bars; Sharpe a bar {s.sharpe_bar:.5f}, skew {s.skew:.2f}, kurtosis {s.kurtosis:.2f}",
        f"- probabilistic Sharpe {s.probabilistic_sharpe:.4f} (above 0), deflated Sharpe {s.deflated_sharpe:.4f}",
        f"- N = {s.trials} ideas tried{_effective(s)}, variance of their Sharpe {s.trial_sharpe_variance:.3g} a bar, "
        f"so the best of as many worthless ones is expected at {s.hurdle_sharpe_bar:.5f} a bar",
        f"- minimum track record {needed} bars",
        *_expectancy(s.expectancy),
    ]


def _neighbours(near: Neighbours | None) -> list[str]:
    if near is None:
        return []
    return [
        "## Next to it",
        "",
        f"- {near.count} strategies with one number a tenth lower or higher, over the judged stretches in one piece: "
        f"{near.earning} earned, {near.median_net_return:+.3%} in the middle",
        f"- the worst of them {near.worst_net_return:+.3%}: {near.worst}",
    ]


def _benchmarks(evidence: Evidence) -> list[str]:
    if evidence.buy_and_hold_return is None:
        return []
    lines = [
        "## Against doing nothing clever",
        "",
        f"- holding the market from the first judged bar to the last: {evidence.buy_and_hold_return:+.3%}; cash: 0",
    ]
    r = evidence.random_entries
    if r is not None:
        lines.append(
            f"- the same trades begun at random, {r.draws:,} times: {r.median_return:+.3%} in the middle, one in "
            f"twenty {r.high_return:+.3%} or more; its own brought {r.actual_return:+.3%}, as good by chance in "
            f"{r.as_good_share:.1%}"
        )
    return lines


def _effective(s: Statistics) -> str:
    return "" if s.effective_trials is None else f" ({s.effective_trials} of them unlike each other)"


def _expectancy(e: Expectancy | None) -> list[str]:
    if e is None:
        return []
    low, high = ("unbounded" if end is None else f"{end:+.3f}" for end in (e.low_quote, e.high_quote))
    return [
        f"- net result of a trade {e.mean_quote:+.3f} USDT; {e.confidence:.0%} interval {low} to {high}, n = {e.trades}"
    ]


def _power(evidence: Evidence) -> list[str]:
    """What could have been proven at all, as it was known before the first look."""
    if evidence.power is None or not evidence.data:
        return []
    per_year = YEAR_MS / INTERVAL_MS[evidence.data[0].interval]
    return ["## Before it was looked at", "", power_sentence(evidence.power, bars_per_year=per_year)]


def _prediction(evidence: Evidence) -> list[str]:
    if not evidence.prediction:
        return []
    return [
        "## What would refute it",
        "",
        "Net return outside these bands on paper (99 % of the walk-forward's own stretches of that length lie inside):",
        "",
        *(f"- {band.bars} bars: {band.low:+.3%} to {band.high:+.3%}" for band in evidence.prediction),
    ]


def _data(evidence: Evidence) -> list[str]:
    rows = [
        f"- {d.market} {d.symbol} {d.interval}, {d.origin}: {iso(d.start_ms)} to {iso(d.end_ms)}, {d.bars:,} bars, "
        f"{d.missing_bars} missing, {d.settlements} settlements, sha256 {d.content_hash}"
        for d in evidence.data
    ]
    costs = ", ".join(f"{name} {value:g}" for name, value in evidence.costs.items()) or "none"
    return [
        "## What it rests on",
        "",
        *rows,
        f"- costs: {costs}; starting equity {evidence.starting_quote:,.0f}",
        f"- spec sha256 {evidence.spec_sha256}",
        f"- settings sha256 {evidence.settings_sha256}, code sha256 {evidence.code_sha256}",
        f"- trades of the judged stretches: {evidence.spec_id}.trades.csv, sha256 {evidence.trades_sha256 or 'none'}",
        f"- settlements they met: {evidence.spec_id}.settlements.csv, sha256 {evidence.settlements_sha256 or 'none'}",
        f"- judged {iso(evidence.at_ms)}",
    ]
