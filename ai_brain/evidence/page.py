"""One page a person can read: the verdict with its deciding number first, then everything it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from ai_brain.evidence.living import LifePromise
from ai_brain.evidence.page_parts import (
    Bullets,
    Heading,
    Paragraph,
    Part,
    Said,
    Title,
    Tone,
    Words,
    bullets,
    markdown,
    paragraph,
    table,
    words_markdown,
)
from ai_brain.evidence.page_significance import not_asked_part, power_part, search_part, significance_part, vault_part
from ai_brain.evidence.records import WEIGHED
from ai_brain.evidence.verdict import (
    SLIPPAGE,
    Evidence,
    Finding,
    FittedPaths,
    RandomEntries,
    Stress,
    Stretch,
    Verdict,
)
from trading.domain.clock import iso
from trading.domain.counted import counted

STRETCH_HEAD = (
    "stretch",
    "from",
    "to",
    "entries",
    "trades",
    "left open",
    "settlements",
    "net",
    "Sharpe a year",
    "drawdown",
    "fees",
    "slippage",
    "funding",
)
MEANS = {
    Verdict.APPROVED: "it may be paper-traded, and shown to a human when paper agrees",
    Verdict.CAUTION: "it may be paper-traded, but it is not shown to a human as it is",
    Verdict.REJECTED: "it goes no further",
}


def evidence_markdown(evidence: Evidence) -> str:
    """The page, Markdown; percentages are of starting equity with all costs in them."""
    return markdown(page_parts(evidence))


def page_parts(evidence: Evidence) -> tuple[Part, ...]:
    """The page, whatever form it is given; beginning with the title, the verdict, and the thesis."""
    return (
        Title(f"{evidence.verdict}: {evidence.name} ({evidence.spec_id})"),
        Paragraph(_headline(evidence)),
        *_origin_warning(evidence),
        paragraph(f"Thesis: {evidence.thesis or 'none given'}"),
        *_quarantine(evidence),
        Heading("What was asked"),
        table(("question", "passed", "measured", "limit", ""), [_finding_row(f) for f in evidence.findings]),
        *not_asked_part(evidence),
        *power_part(evidence),
        *_stretches(evidence.stretches),
        *_walk_forward(evidence),
        *_slippage(evidence),
        *significance_part(evidence),
        *vault_part(evidence),
        *search_part(evidence.overfitting),
        *_neighbours(evidence),
        *_stress(evidence.stress),
        *_benchmarks(evidence),
        *_prediction(evidence),
        *_promise(evidence.promise),
        *_data(evidence),
    )


def headline(evidence: Evidence) -> str:
    """The verdict in one sentence, its deciding number first; Markdown."""
    return words_markdown(_headline(evidence))


def _headline(evidence: Evidence) -> Words:
    means = Said(f"Verdict {evidence.verdict}: {MEANS[evidence.verdict]}.")
    deciding = next((f for f in evidence.findings if f.reason is evidence.deciding and not f.passed), None)
    if deciding is not None:
        return Said(f"{evidence.deciding}: {deciding.note}", Tone.STRONG), means
    s = evidence.statistics
    if s is None:
        return (means,)
    return Said(f"Deflated Sharpe {s.deflated_sharpe:.3f}, N = {counted(s.trials, 'idea')} tried.", Tone.STRONG), means


def _origin_warning(evidence: Evidence) -> Sequence[Part]:
    if any(data.origin == "synthetic" for data in evidence.data):
        return [paragraph(Said("SYNTHETIC MARKET: made up by a generator, not by people trading.", Tone.BAD))]
    return []


def _quarantine(evidence: Evidence) -> Sequence[Part]:
    if not evidence.quarantined:
        return []
    warning = Said("Quarantined: too good to be true is a bug until proven otherwise.", Tone.BAD)
    return [
        paragraph(warning, "Look at these first:"),
        Bullets(evidence.suspicious or ("it made no trade to show",)),
    ]


def _finding_row(finding: Finding) -> Sequence[str | Said]:
    value = "none" if finding.value is None else f"{finding.value:.6g}"
    refused = Said("NO", Tone.BAD) if finding.refuses else Said("no, caution", Tone.CAUTION)
    sign = Said("yes", Tone.GOOD) if finding.passed else refused
    return finding.reason, sign, value, f"{finding.limit:.6g}", finding.note


def _stretches(stretches: tuple[Stretch, ...]) -> Sequence[Part]:
    if not stretches:
        return []
    return [Heading("Stretches"), table(STRETCH_HEAD, [_stretch_row(stretch) for stretch in stretches])]


def _stretch_row(s: Stretch) -> Sequence[str]:
    span, counts = (iso(s.start_ms), iso(s.end_ms)), map(str, (s.entries, s.trades, s.left_open, s.settlements))
    result = (f"{s.net_return:+.3%}", f"{s.sharpe_annual:.2f}", f"{s.max_drawdown:.3%}")
    return s.name, *span, *counts, *result, f"{s.fees_quote:.2f}", f"{s.slippage_quote:.2f}", f"{s.funding_quote:+.2f}"


def _walk_forward(evidence: Evidence) -> Sequence[Part]:
    judged = evidence.judged
    if not judged:
        return []
    purges = ", ".join(str(s.purge_bars) for s in judged)
    holdings = ", ".join(str(s.holding_bars) for s in judged)
    short = any(s.purge_bars < s.holding_bars for s in judged)
    return [
        Heading("Walk-forward"),
        bullets(
            f"{evidence.positive} of {len(judged)} judged stretches positive; walk-forward is their chain, compounded",
            "parameters fixed: the same in every stretch, nothing was chosen on one to be judged on the next",
            "each begins flat, indicators warmed up on the bars before it; what is left open at its end is marked at "
            "the last close, the cost of closing it not paid",
            f"bars left out before each: {purges}; longest holding known by then: {holdings}"
            + (" (longer than could be left out on this tape)" if short else ""),
            f"amounts are of accounts that begin each stretch with {evidence.starting_quote:,.0f}",
        ),
    ]


def _slippage(evidence: Evidence) -> Sequence[Part]:
    """What the interval of the slippage leaves of the net return."""
    ends, runs = evidence.slippage, [evidence.stretch(name) for name in SLIPPAGE]
    if ends is None or any(run is None for run in runs):
        return []
    low, charged, high = (f"{run.net_return:+.3%}" for run in runs if run is not None)
    legs = [
        f"{leg.market}: {leg.charged:.3g} times the fitted law was charged, n = {leg.n} own orders"
        f"{'' if leg.is_enough else ', not enough data'}; 95 % "
        f"{leg.low * leg.charged:.3g} to {leg.high * leg.charged:.3g} times"
        for leg in ends.legs
    ]
    return [
        Heading("What slippage leaves open"),
        bullets(
            f"everything before the vault: {charged} as charged, {low} at the low end of its interval, {high} at the "
            "high end",
            *legs,
            f"from: {ends.source}",
        ),
    ]


def _neighbours(evidence: Evidence) -> Sequence[Part]:
    near = evidence.neighbours
    if near is None:
        return []
    return [
        Heading("Next to it"),
        bullets(
            f"{near.count} strategies with one number a tenth lower or higher, over the judged stretches in one piece: "
            f"{near.earning} earned, {near.median_net_return:+.3%} in the middle",
            f"the worst of them {near.worst_net_return:+.3%}: {near.worst}",
            *_fitted_paths(evidence.fitted_paths),
        ),
    ]


def _fitted_paths(f: FittedPaths | None) -> Sequence[str]:
    if f is None:
        return []
    return [
        f"had its numbers been chosen among these on the training bars of each of {f.splits} splits ({f.chosen} of "
        f"{f.variants} were the best of some), {f.paths} whole paths had a Sharpe of {f.lowest_sharpe_annual:.2f} to "
        f"{f.highest_sharpe_annual:.2f} a year, {f.median_sharpe_annual:.2f} in the middle"
    ]


def _stress(stress: Sequence[Stress]) -> Sequence[Part]:
    return [Heading("Hard times"), bullets(*map(_hard_time, stress))] if stress else []


def _hard_time(s: Stress) -> str:
    if s.net_return is None or s.max_drawdown is None:
        return f"{s.name}: not on this tape, or in the vault"
    return f"{s.name}: {s.net_return:+.3%}, drawdown {s.max_drawdown:.3%}, {s.bars:,} bars"


def _benchmarks(evidence: Evidence) -> Sequence[Part]:
    if evidence.buy_and_hold_return is None:
        return []
    held = f"holding the market from the first judged bar to the last: {evidence.buy_and_hold_return:+.3%}; cash: 0"
    return [Heading("Against doing nothing clever"), bullets(held, *_random_entries(evidence.random_entries))]


def _random_entries(r: RandomEntries | None) -> Sequence[str]:
    if r is None:
        return []
    return [
        f"the same trades begun at random, {r.draws:,} times: {r.median_return:+.3%} in the middle, one in twenty "
        f"{r.high_return:+.3%} or more; its own brought {r.actual_return:+.3%}, as good by chance in "
        f"{r.as_good_share:.1%}"
    ]


def _prediction(evidence: Evidence) -> Sequence[Part]:
    if not evidence.prediction:
        return []
    return [
        Heading("What would refute it"),
        paragraph(
            "Net return outside these bands on paper (99 % of the walk-forward's own stretches of that length lie "
            "inside):"
        ),
        bullets(*(f"{band.bars} bars: {band.low:+.3%} to {band.high:+.3%}" for band in evidence.prediction)),
    ]


def _promise(p: LifePromise | None) -> Sequence[Part]:
    if p is None:
        return []
    what = f"the sum of each {p.unit}" if p.settlements_a_result else f"each {p.unit}"
    return [
        Heading("What its life is held to"),
        bullets(
            f"{what}: {p.expectancy:+.3%} on average, less than the {p.mean:+.3%} of the {p.results} that were judged; "
            f"each counts as {p.low:+.3%} at worst and {p.high:+.3%} at best"
        ),
    ]


def _data(evidence: Evidence) -> Sequence[Part]:
    tapes = [
        f"{d.market} {d.symbol} {d.interval}, {d.origin}: {iso(d.start_ms)} to {iso(d.end_ms)}, {d.bars:,} bars, "
        f"{d.missing_bars} missing, {d.settlements} settlements, sha256 {d.content_hash}"
        for d in evidence.data
    ]
    told = {name: f"{name.removeprefix(WEIGHED)} {value:g}" for name, value in evidence.costs.items()}
    costs = ", ".join(text for name, text in told.items() if not name.startswith(WEIGHED)) or "none"
    weighed = ", ".join(text for name, text in told.items() if name.startswith(WEIGHED))
    return [
        Heading("What it rests on"),
        bullets(
            *tapes,
            f"costs: {costs}; starting equity {evidence.starting_quote:,.0f}",
            *([f"its decision weighs: {weighed}"] if weighed else []),
            f"spec sha256 {evidence.spec_sha256}",
            f"settings sha256 {evidence.settings_sha256}, code sha256 {evidence.code_sha256}",
            f"trades of the judged stretches: {evidence.spec_id}.trades.csv, sha256 {evidence.trades_sha256 or 'none'}",
            f"settlements they met: {evidence.spec_id}.settlements.csv, sha256 {evidence.settlements_sha256 or 'none'}",
            f"equity bar by bar: {evidence.spec_id}.curve.csv, sha256 {evidence.curve_sha256 or 'none'}",
            f"judged {iso(evidence.at_ms)}",
        ),
    ]
