"""What a page says of chance: what could be proven, how significant it is, the vault, and the search it came from."""

from __future__ import annotations

from collections.abc import Sequence

from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.page_parts import Heading, Part, Said, Tone, bullets, paragraph
from ai_brain.evidence.power import power_sentence
from ai_brain.evidence.verdict import WALK_FORWARD, Evidence, Expectancy, Overfitting, Statistics, Verdict
from trading.domain.clock import iso
from trading.domain.counted import counted
from trading.domain.market import bars_per_year


def power_part(evidence: Evidence) -> Sequence[Part]:
    """What could have been proven at all, as it was known before the first look."""
    if evidence.power is None or not evidence.data:
        return []
    per_year = bars_per_year(evidence.data[0].interval)
    return [
        Heading("Before it was looked at"),
        paragraph(power_sentence(evidence.power, bars_per_year=per_year)),
    ]


def significance_part(evidence: Evidence) -> Sequence[Part]:
    """The statistics, and what they are of."""
    s, chain = evidence.statistics, evidence.stretch(WALK_FORWARD)
    if s is None:
        return []
    what = "walk-forward chain" if chain is not None and chain.bars == s.bars else "record, search included"
    needed = "none" if s.minimum_track_record_bars is None else f"{s.minimum_track_record_bars:,.0f}"
    return [
        Heading(f"Significance of the {what}"),
        bullets(
            f"n = {s.bars:,} bars; Sharpe a bar {s.sharpe_bar:.5f}, skew {s.skew:.2f}, kurtosis {s.kurtosis:.2f}",
            f"probabilistic Sharpe {s.probabilistic_sharpe:.4f} (above 0), deflated Sharpe {s.deflated_sharpe:.4f}",
            f"N = {counted(s.trials, 'idea')} tried{_effective(s)}, variance of their Sharpe "
            f"{s.trial_sharpe_variance:.3g} a bar, so the best of as many worthless ones is expected at "
            f"{s.hurdle_sharpe_bar:.5f} a bar",
            f"minimum track record {needed} bars",
            *_expectancy(s.expectancy),
        ),
    ]


def vault_part(evidence: Evidence) -> Sequence[Part]:
    """What the newest bars said, once they were read."""
    c = evidence.confirmation
    if c is None:
        return []
    answer = Said("confirmed", Tone.GOOD) if c.confirmed else Said("not confirmed", Tone.BAD)
    family = "the first of its family"
    if c.family != evidence.spec_sha256:
        family = f"of the family of spec {c.family[:12]}, whose returns went with its own"
    later = []
    if c.p_value_now is not None and c.p_value_now != c.p_value:
        later = [f"that answer stood already: a spec is answered once; on this tape p is {c.p_value_now:.3g}"]
    return [
        Heading("The vault"),
        paragraph(answer, f"with p = {c.p_value:.3g} at a level of {c.level:.3g}, as candidate {c.place} of all ever."),
        bullets(f"opening {c.opening} of the vault's book, written down {iso(c.opened_ms)}, then read", family, *later),
    ]


QUESTIONS = (
    (GateReason.NO_TRADES, "the search stretch: whether it trades and earns there"),
    (GateReason.LOST_ON_VALIDATION, "the walk-forward stretches: whether it trades enough, earns and can be believed"),
    (GateReason.NO_BETTER_THAN_LUCK, "whether it is better than luck before the vault, all ideas counted"),
    (GateReason.LOST_AT_DOUBLE_COST, "how little it takes to break it: costs, delay, its best month, its neighbours"),
    (GateReason.NOT_CONFIRMED, "the vault, which answers once, and with it the whole record"),
)
"""What the gate asks after the cheap refusals, in its order, each by one reason that is noted whenever it is asked."""


def not_asked_part(evidence: Evidence) -> Sequence[Part]:
    """What the first refusal left open."""
    asked = {finding.reason for finding in evidence.findings}
    left = [words for reason, words in QUESTIONS if reason not in asked]
    if not left or evidence.verdict is Verdict.APPROVED:
        return []
    why = "The first refusal ends the questions"
    if evidence.verdict is Verdict.CAUTION:
        why = "The vault is opened only for what every answer so far speaks for"
    return [Heading("What was not asked"), paragraph(f"{why}, so the rest was not looked at:"), bullets(*left)]


def search_part(o: Overfitting | None) -> Sequence[Part]:
    """How far the search that chose it is to be believed."""
    if o is None:
        return []
    return [
        Heading("The search that chose it"),
        bullets(
            f"among {o.strategies:,} strategies; of all ways to cut its stretch, in {o.blocks} blocks, in two halves, "
            f"the best of one half lay below the middle of the other in {o.probability:.1%}"
        ),
    ]


def _effective(s: Statistics) -> str:
    return "" if s.effective_trials is None else f" ({s.effective_trials} of them unlike each other)"


def _expectancy(e: Expectancy | None) -> Sequence[str]:
    if e is None:
        return []
    low, high = ("unbounded" if end is None else f"{end:+.3f}" for end in (e.low_quote, e.high_quote))
    return [
        f"net result of a trade {e.mean_quote:+.3f} USDT; {e.confidence:.0%} interval {low} to {high}, n = {e.trades}"
    ]
