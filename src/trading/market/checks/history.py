"""A whole history: where it comes from, its worst gap and longest standstill, and all its bars as those of a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from trading.domain.clock import MINUTE_MS
from trading.domain.instrument import Instrument
from trading.domain.market import Bar
from trading.market.checks.bar import Seen, validate_bar, verdict_of
from trading.market.checks.funding import MissingSettlements, missing_settlements
from trading.market.checks.moves import RECENT, Recent, off_step, robust_scales
from trading.market.checks.rules import RuleId
from trading.market.tape import PRICES, Origin, Tape
from trading.market.validator_rules import Finding, Unchecked, ValidatorSettings, Verdict, judge

_NEARLY = 1.0 - 1e-9
"""The quick look at all bars errs on this side; what it picks is judged as any bar is."""


@dataclass(frozen=True, slots=True)
class BarFinding:
    """A broken rule, and the bar that breaks it."""

    open_time_ms: int
    finding: Finding


def validate_provenance(
    origin: str, content_hash: str, settings: ValidatorSettings, *, where: str, real: bool
) -> Verdict:
    """Is it known where the data comes from, and is it of a real market where that is wanted.

    Args:
        origin: What the tape says of itself.
        content_hash: SHA-256 of its content, hex.
        settings: The validator's thresholds.
        where: For the message.
        real: A real market is wanted: for orders, for evidence.
    """
    if origin not in get_args(Origin) or len(content_hash) != 64:
        return judge([Finding(RuleId.PROVENANCE, where, 0.0, 1.0)], settings)
    made_up = real and origin == "synthetic"
    return judge([Finding(RuleId.SYNTHETIC, where, 1.0, 0.0)] if made_up else (), settings)


def validate_tape(tape: Tape, settings: ValidatorSettings, *, real: bool = False) -> Verdict:
    """A history as a whole; its shape was checked when it was made. The worst gap and the longest standstill count.

    Args:
        tape: What is judged.
        settings: The validator's thresholds.
        real: A real market is wanted: `synthetic` is a finding.
    """
    where = f"{tape.market} {tape.symbol} {tape.interval} history"
    told: list[Finding | Unchecked] = []
    told += validate_provenance(tape.origin, tape.content_hash, settings, where=where, real=real).findings
    worst = max((gap.missing_bars for gap in tape.gaps), default=0)
    if worst:
        rule = RuleId.LONG_GAP if worst > settings.gap_bars_max else RuleId.GAP
        told.append(Finding(rule, where, worst, settings.gap_bars_max))
    flat = longest_run(tape.volume_base == 0.0)
    if flat >= settings.flat_bars_max:
        told.append(Finding(RuleId.FLATLINE, where, flat, settings.flat_bars_max))
    if len(tape.funding.time_ms):
        if missing := sum(gap.count for gap in scan_funding(tape)):
            told.append(Finding(RuleId.FUNDING_MISSING, where, missing, 0.0))
    else:
        told.append(Unchecked(RuleId.FUNDING_MISSING, where))
    return verdict_of(told, settings)


def scan_tape(
    tape: Tape,
    settings: ValidatorSettings,
    *,
    second_close: NDArray[np.float64] | None = None,
    instrument: Instrument | None = None,
) -> list[BarFinding]:
    """Every finding of every bar, oldest first: what `validate_bar` says of them one by one, in one pass.

    Args:
        tape: What is judged.
        settings: The validator's thresholds.
        second_close: (n,) the same coin's close elsewhere, nan where there is none; None: the tape's own `spot_close`.
        instrument: The venue's filters over all of it; None: ticks and lots are not looked at.
    """
    second = tape.spot_close if second_close is None else second_close
    if not len(second):
        second = np.full(len(tape), np.nan)
    flat, repeats = _run_lengths(tape.volume_base == 0.0), _run_lengths(_repeated(tape))
    picked = (flat >= settings.flat_bars_max) | (repeats >= settings.flat_bars_max)
    picked |= _moved(tape, settings) | _apart(tape, second, settings)
    if instrument is not None:
        picked |= off_step(tape.volume_base, float(instrument.lot))
        for column in PRICES:
            picked |= off_step(getattr(tape, column), float(instrument.tick))
    found = []
    for i in np.flatnonzero(picked).tolist():
        price = float(second[i])
        seen = Seen(
            bar_at(tape, i - 1) if i else None,
            int(flat[i - 1]) if i else 0,
            None if np.isnan(price) else price,
            int(repeats[i - 1]) if i else 0,
            recent_at(tape, i),
            instrument,
        )
        bar = bar_at(tape, i)
        found += [BarFinding(bar.open_time_ms, finding) for finding in validate_bar(bar, settings, seen).findings]
    return found


def scan_funding(tape: Tape) -> list[MissingSettlements]:
    """Where settlements are missing within a perpetual's history, oldest first."""
    return missing_settlements(tape.funding.time_ms.tolist())


def bar_at(tape: Tape, i: int) -> Bar:
    """A bar of a tape as a closed candle; when it was received is not known (0)."""
    return Bar(
        tape.market,
        tape.symbol,
        tape.interval,
        int(tape.open_time_ms[i]),
        float(tape.open[i]),
        float(tape.high[i]),
        float(tape.low[i]),
        float(tape.close[i]),
        float(tape.volume_base[i]),
        is_closed=True,
        received_ms=0,
    )


def recent_at(tape: Tape, i: int) -> Recent:
    """Closes before bar i, as many as the robust scale looks at.

    Look-ahead: bar i itself is not in it.
    """
    first = max(0, i - RECENT)
    return Recent(tape.open_time_ms[first:i], tape.close[first:i])


def longest_run(flags: NDArray[np.bool_]) -> int:
    """Length of the longest unbroken run of true; 0 for none."""
    return int(_run_lengths(flags).max(initial=0))


def _run_lengths(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n,) how many true in a row end at each place; 0 at a false one."""
    places = np.arange(1, len(flags) + 1)
    return places - np.maximum.accumulate(np.where(flags, 0, places))


def _repeated(tape: Tape) -> NDArray[np.bool_]:
    same = tape.volume_base > 0.0
    same[:1] = False
    for column in (*PRICES, "volume_base"):
        values = getattr(tape, column)
        same[1:] &= values[1:] == values[:-1]
    return same


def _moved(tape: Tape, settings: ValidatorSettings) -> NDArray[np.bool_]:
    """Bars after a gap, or whose move may break a limit."""
    picked = np.zeros(len(tape), dtype=np.bool_)
    steps_ms, before = np.diff(tape.open_time_ms), tape.close[:-1]
    move_pct = 100.0 * np.maximum(np.abs(tape.high[1:] / before - 1.0), np.abs(tape.low[1:] / before - 1.0))
    jump_pct = settings.jump_max_pct * np.sqrt(np.maximum(1.0, steps_ms / MINUTE_MS))
    jumped = move_pct > np.minimum(jump_pct, settings.jump_cap_pct) * _NEARLY
    picked[1:] = (steps_ms > tape.interval_ms) | jumped
    may_spike = 1 + np.flatnonzero(~jumped & (move_pct > settings.spike_min_pct * _NEARLY))
    early = may_spike[may_spike < RECENT]
    picked[early] = True
    late = may_spike[may_spike >= RECENT]
    if len(late):
        minutes = np.maximum(1.0, steps_ms[late - 1] / MINUTE_MS)
        usual_pct = (
            100.0 * settings.spike_scales_max * robust_scales(tape.open_time_ms, tape.close, late) * np.sqrt(minutes)
        )
        picked[late] |= move_pct[late - 1] > np.minimum(usual_pct, settings.jump_cap_pct) * _NEARLY
    return picked


def _apart(tape: Tape, second: NDArray[np.float64], settings: ValidatorSettings) -> NDArray[np.bool_]:
    least = min(settings.second_source_max_pct / 100.0, settings.basis_warn_bps / 10_000.0)
    with np.errstate(divide="ignore", invalid="ignore"):  # a second price that is none is judged bar by bar
        distance = np.abs(tape.close / second - 1.0)
    return ~np.isnan(second) & ~(distance <= least * _NEARLY)
