"""Evidence: everything a verdict rests on, as one file a person can follow to bars."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, JsonValue

from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.living import LifePromise

WALK_FORWARD = "walk-forward"
"""Name of the chain of judged stretches; each of them is `walk-forward 1/4` and so on, and the last is the vault."""
SEARCH = "search"
"""Name of the first look."""
VAULT = "vault"
SLIPPAGE = ("slippage at its low end", "slippage as charged", "slippage at its high end")
"""Names of everything before the vault, in one, at both ends of what is known of slippage and between."""
RECORD = "record"
"""Search, walk-forward and vault in one, as far as it came: what the deflated Sharpe ratio is of."""


class Verdict(StrEnum):
    """What the gate says."""

    APPROVED = "APPROVED"
    """Every finding holds: it may go to paper, and from there to a human."""
    CAUTION = "CAUTION"
    """What must hold holds, but it is fragile or not yet sure: it may go to paper, not to a human."""
    REJECTED = "REJECTED"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Record):
    """One question of the gate, with both numbers."""

    reason: GateReason
    passed: bool
    refuses: bool
    """When it does not pass: refuses (True), or only asks for caution (False)."""
    value: float | None
    """What was measured; None: it has no finite value."""
    limit: float
    """What it was held against, same unit."""
    note: str
    """One sentence with the units."""


class DataUsed(_Record):
    """One tape the test ran on."""

    market: str
    symbol: str
    interval: str
    origin: str
    """`recorded`, `downloaded`, `live` or `synthetic`."""
    content_hash: str
    start_ms: int
    end_ms: int
    bars: int
    missing_bars: int
    settlements: int


class Stretch(_Record):
    """What a strategy did on one stretch; fractions of starting equity, all costs in them."""

    name: str
    """`search`, `walk-forward 1/4` ..., `walk-forward` (their chain), and chains: `costs doubled`, `one bar late`."""
    start_ms: int
    end_ms: int
    bars: int
    entries: int
    """Positions opened."""
    trades: int
    """Positions closed; for a carry, exits."""
    settlements: int
    """Funding settlements booked while in position."""
    net_return: float
    sharpe_annual: float
    max_drawdown: float
    fees_quote: float
    slippage_quote: float
    funding_quote: float
    left_open: int = 0
    """Positions still open at the end, marked at its last close; of a chain, at all its ends."""
    purge_bars: int = 0
    """Bars left out before a judged stretch."""
    holding_bars: int = 0
    """Longest holding known before a judged stretch: what the purge is for, and as long as it could be."""


class Band(_Record):
    """Where the net return over so many bars is expected to lie."""

    bars: int
    low: float
    high: float


class Power(_Record):
    """What this much data could prove, known before any performance was computed."""

    bars: int
    """Of the whole record; in evidence without `vault_bars`, of the judged stretches."""
    vault_bars: int | None = None
    """Of them, those in the vault."""
    vault_level: float | None = None
    """At which the next candidate's vault would have been tested."""
    trials: int
    """Ideas tried by then, this one included."""
    trial_sharpe_variance: float
    """Per bar, as in `Statistics`."""
    expected_maximum: float | None = None
    """As in `Statistics`."""
    confidence: float
    """Of the deflated Sharpe ratio that the gate approves."""
    provable_sharpe_annual: float | None
    """Smallest annual net Sharpe that the gate would approve; None: none would do."""


class Confirmation(_Record):
    """What the vault said, and the stream of all candidates to it."""

    opening: int
    """Its number in the vault's book."""
    opened_ms: int
    """When it was written down; the bars were read after that."""
    family: str
    """`spec_sha256` of the first of its family, which is itself unless it goes with one that was opened before."""
    p_value: float
    """That returns as good come from a mean of zero or less, on the vault alone; as it was when it was answered."""
    p_value_now: float | None = None
    """The same of this look: another one where the answer stood already, from an older tape. None: older evidence."""
    level: float
    """Of the stream at its place."""
    place: int
    """Among all candidates ever, from 1."""
    confirmed: bool


class Overfitting(_Record):
    """The search that chose it among others: of the ways to cut its stretch in two halves, those in which the best of
    one half came out below the middle of the other (CSCV)."""

    strategies: int
    blocks: int
    probability: float


class SlippageEnd(_Record):
    """What is known of one market's slippage."""

    market: str
    n: int
    """Own orders."""
    is_enough: bool
    """They move what is believed; False: the prior stands."""
    charged: float
    """What was charged, over what the fitted law charges."""
    low: float
    high: float
    """95 % interval, as factors on what was charged."""


class SlippageEnds(_Record):
    """The interval of the slippage that was charged: the record before the vault is told at both ends of it."""

    legs: tuple[SlippageEnd, ...]
    """The spec's own market; of a carry spot, then the perpetual."""
    source: str
    """Whence, and of what was learned from own fills the version."""


class Stress(_Record):
    """A hard stretch of the past, as far as it lies on the tape."""

    name: str
    bars: int
    """0: it is not on the tape."""
    net_return: float | None = None
    max_drawdown: float | None = None


class Expectancy(_Record):
    """Net result of a judged trade, quote, with what chance leaves open."""

    trades: int
    mean_quote: float
    low_quote: float | None
    """Ends of the interval; None: the trades cannot bound it."""
    high_quote: float | None
    confidence: float


class Neighbours(_Record):
    """What the strategies did that differ in one number by a tenth, over the judged stretches in one piece."""

    count: int
    earning: int
    """Of them, with a net return above 0."""
    median_net_return: float
    worst: str
    """What differs in the worst of them: `entry_long 1: rsi(15) < 28`."""
    worst_net_return: float


class FittedPaths(_Record):
    """Sharpe ratios of whole paths over the walk-forward bars, had the numbers been chosen among the neighbours on the
    training bars of each split."""

    variants: int
    """The strategy and those next to it."""
    splits: int
    paths: int
    chosen: int
    """How many different variants were the best of some split."""
    lowest_sharpe_annual: float
    median_sharpe_annual: float
    highest_sharpe_annual: float


class RandomEntries(_Record):
    """What the judged trades brought against the same trades begun at random; fractions of the starting equity."""

    draws: int
    actual_return: float
    """Sum of the trades' own net results, those left open as marked."""
    median_return: float
    high_return: float
    """Reached by one draw in twenty."""
    as_good_share: float
    """Of the draws, those that did at least as well, the record itself counted as one of them: (1 + k) / (1 + n)."""


class Statistics(_Record):
    """What the significance rests on; Sharpe ratios per bar, of the whole record: search, walk-forward and vault, as
    far as it came. The N counts all that was chosen from on it."""

    bars: int
    sharpe_bar: float
    skew: float
    kurtosis: float
    """Pearson's: 3 for a normal."""
    probabilistic_sharpe: float
    """Confidence that the true Sharpe is above 0."""
    deflated_sharpe: float
    """Confidence that it beats the best of `trials` worthless ones."""
    trials: int
    """Ideas ever tried, this one included: the ledger's count, and the N of the hurdle."""
    effective_trials: int | None = None
    """The same, those counted once whose returns go together; None: evidence from before they were clustered."""
    trial_sharpe_variance: float
    """Per bar; what chance alone gives on as many bars."""
    expected_maximum: float | None = None
    """Of as many worthless ideas whose returns go together as theirs do, standard deviations; None: evidence from when
    they were taken for independent."""
    hurdle_sharpe_bar: float
    """Expected Sharpe of the best of `trials` worthless ideas."""
    minimum_track_record_bars: float | None
    """None: no length would do."""
    expectancy: Expectancy | None = None
    """None: a carry, or fewer trades than an interval needs."""


class Evidence(_Record):
    """All a verdict rests on. `state/evidence/ID.json` holds it; every number comes from the tapes named in `data`."""

    spec_id: str
    spec_sha256: str
    name: str
    family: str
    """`funding_carry`, `momentum` or `mean_reversion`."""
    market: str
    """`BTC/USDT:USDT 1h`."""
    thesis: str
    at_ms: int
    verdict: Verdict
    deciding: GateReason | None
    """The first finding that did not pass; None: all did."""
    quarantined: bool
    """Too good to be true: a bug until proven otherwise."""
    findings: tuple[Finding, ...]
    data: tuple[DataUsed, ...]
    stretches: tuple[Stretch, ...]
    statistics: Statistics | None
    """None: refused before it came to that."""
    power: Power | None = None
    """None: a carry, whose small steady payments are no matter of the same hurdle; or refused before it was asked."""
    neighbours: Neighbours | None = None
    """None: it lost, or it never came to that, or none of its numbers can be varied."""
    fitted_paths: FittedPaths | None = None
    """None: as for `neighbours`, or the stretch is too short to be cut."""
    random_entries: RandomEntries | None = None
    """None: a carry, or no trade."""
    confirmation: Confirmation | None = None
    """None: the vault stayed shut."""
    overfitting: Overfitting | None = None
    """None: it was judged by itself, not as the choice of a search."""
    stress: tuple[Stress, ...] = ()
    slippage: SlippageEnds | None = None
    """None: the costs were given without an interval."""
    buy_and_hold_return: float | None = None
    """Of the market from the first judged bar's open to the last one's close, no costs; cash has 0."""
    prediction: tuple[Band, ...]
    """99 % of the walk-forward chain's stretches of that many bars lie inside."""
    promise: LifePromise | None = None
    """Of each result of its life; None: too few to promise anything, or evidence from before lives were tested."""
    suspicious: tuple[str, ...]
    """The three trades that carry most of the result, when quarantined."""
    rules: dict[str, JsonValue] = {}
    """The venue's steps, minimums and margin table the test ran under; empty in evidence from before they were kept."""
    costs: dict[str, float]
    """As the simulator was given them; fractions of notional."""
    starting_quote: float
    settings_sha256: str
    code_sha256: str
    """Over the sources of the simulator, the rule language and the gate."""
    trades_sha256: str | None
    """Of `ID.trades.csv`; None: there was no trade."""
    settlements_sha256: str | None
    """Of `ID.settlements.csv`; None: none was met, as by every rule strategy."""
    curve_sha256: str | None = None
    """Of `ID.curve.csv`, the equity bar by bar; None: it earned nothing after the search."""

    def stretch(self, name: str) -> Stretch | None:
        """The stretch of that name; None: it was never run."""
        return next((stretch for stretch in self.stretches if stretch.name == name), None)

    @property
    def judged(self) -> tuple[Stretch, ...]:
        """The judged stretches one by one, oldest first; empty when it never came to that."""
        return tuple(s for s in self.stretches if s.name.startswith(f"{WALK_FORWARD} ") or s.name == VAULT)

    @property
    def positive(self) -> int:
        """Judged stretches that earned something after costs."""
        return sum(stretch.net_return > 0.0 for stretch in self.judged)

    def to_json(self) -> dict[str, object]:
        """As plain JSON values; without what was not said, so that an old file keeps its hash when fields are added."""
        return self.model_dump(mode="json", exclude_unset=True)

    @property
    def evidence_sha256(self) -> str:
        """Of the canonical JSON, hex: what an approval signs."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def judge(findings: tuple[Finding, ...]) -> tuple[Verdict, GateReason | None]:
    """The verdict of a list of findings, and the one that decides it.

    Returns:
        REJECTED with the first finding that refuses; else CAUTION with the first that did not pass; else APPROVED. An
        empty list: REJECTED, because nothing was shown.
    """
    failed = [finding for finding in findings if not finding.passed]
    refusing = [finding for finding in failed if finding.refuses]
    if refusing:
        return Verdict.REJECTED, refusing[0].reason
    if failed:
        return Verdict.CAUTION, failed[0].reason
    return (Verdict.APPROVED, None) if findings else (Verdict.REJECTED, GateReason.ERROR)
