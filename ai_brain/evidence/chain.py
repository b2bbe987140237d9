"""Judged stretches, one after the other, as one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import fsum

import numpy as np

from ai_brain.evidence.run import Run


def chained(runs: Sequence[Run]) -> Run:
    """Runs that each began flat with the same equity, as one: its curve compounds theirs.

    Args:
        runs: At least one, oldest first, no bar in two of them.

    Returns:
        Counts and amounts are sums, so amounts are of the stretches' own accounts; the equity goes on where the stretch
        before it ended, so its net return is the product of theirs. The books are as wrong as the worst of them.
    """
    grown, curves = runs[0].starting_quote, []
    for run in runs:
        curves.append(run.equity * (grown / run.starting_quote))
        grown = float(curves[-1][-1])
    return replace(
        runs[0],
        open_time_ms=np.concatenate([run.open_time_ms for run in runs]),
        equity=np.concatenate(curves),
        trades=tuple(trade for run in runs for trade in run.trades),
        entries=sum(run.entries for run in runs),
        left_open=tuple(line for run in runs for line in run.left_open),
        settled=tuple(line for run in runs for line in run.settled),
        fees_quote=fsum(run.fees_quote for run in runs),
        slippage_quote=fsum(run.slippage_quote for run in runs),
        funding_quote=fsum(run.funding_quote for run in runs),
        expected_funding_quote=fsum(run.expected_funding_quote for run in runs),
        traded_quote=fsum(run.traded_quote for run in runs),
        liquidations=sum(run.liquidations for run in runs),
        identity_error_quote=max(run.identity_error_quote for run in runs),
    )
