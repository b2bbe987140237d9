"""What a night says of one paper account in the end: SAME, DIFFERENT, or NOT_COMPARABLE.

SAME proves itself: floats do not agree by chance. It needs the whole day, where the strategy was on paper. DIFFERENT
needs that every candle until then is known as paper saw it: another word on one of them is no fault of paper's.
"""

from __future__ import annotations

from dataclasses import replace

from ai_brain.paper.account import PaperAccount
from ai_brain.paper.parity import Parity, ParityStatus
from ops.nightly.tapes_as_told import TapesAsTold
from trading.domain.clock import iso
from trading.domain.market import INTERVAL_MS
from trading.strategy.lifecycle import Stage
from trading.strategy.spec import StrategySpec


def settled(parity: Parity, spec: StrategySpec, account: PaperAccount, told: TapesAsTold, end_ms: int) -> Parity:
    """The comparison as a verdict.

    Args:
        parity: Of the account with its replay.
        spec: The strategy, as it is now.
        account: Its account.
        told: What the replay ran on.
        end_ms: Of the day, UTC ms.
    """
    if parity.status is ParityStatus.DIFFERENT:
        return _unless_unsure(parity, told)
    if parity.status is not ParityStatus.SAME:
        return parity
    if spec.stage is Stage.DRY_RUN:
        return _if_whole(parity, account, told, end_ms)
    return replace(parity, why=f"off paper since, its account ends {iso(_stepped_ms(account))}")


def _unless_unsure(parity: Parity, told: TapesAsTold) -> Parity:
    unsure = [ms for ms in told.uncertain_ms if ms < parity.differs_ms]
    if unsure:
        but = (
            f"of {len(unsure)} candles until then, the first {iso(unsure[0])}, it is not known how paper was told them"
        )
    elif parity.differs_ms > told.shelf_ms:
        but = f"the shelf ends {iso(told.shelf_ms)}, and what was settled since is not known; the night fetches it"
    else:
        return parity
    why = f"{parity.why} differs, paper {parity.paper!r}, backtest {parity.backtest!r}; but {but}"
    return replace(parity, status=ParityStatus.NOT_COMPARABLE, why=why, differences=None)


def _if_whole(parity: Parity, account: PaperAccount, told: TapesAsTold, end_ms: int) -> Parity:
    main, spot = told.tapes.main, told.tapes.spot
    stepped_ms = _stepped_ms(account)
    market_ms = main.end_ms if spot is None else min(main.end_ms, spot.end_ms)
    if stepped_ms < end_ms:
        why = f"paper has stepped no bar that closed after {iso(stepped_ms)}"
        why += f", it is parked: {account.parked}" if account.parked else ""
    elif market_ms < end_ms:
        why = f"the market's bars end {iso(market_ms)}, before the day does"
    else:
        return parity
    return replace(parity, status=ParityStatus.NOT_COMPARABLE, why=why)


def _stepped_ms(account: PaperAccount) -> int:
    """The close of the last bar an account has stepped; 0: none."""
    return 0 if account.last_bar_ms is None else account.last_bar_ms + INTERVAL_MS[account.interval]
