"""The lives of one strategy as the files tell them: what its evidence promised, and its own results since."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.filing import load_evidence
from ai_brain.evidence.living import Life, LifePromise, life_of, of_equity_before, sums, trade_result
from ai_brain.paper.account import PaperAccount, load_account
from ops.settings import read_settings
from ops.trace.live_records import Holdings, read_holdings
from trading.funding.settlements import settled_of
from trading.storage.home import Home
from trading.strategy.parameters import CarryParameters
from trading.strategy.spec import StrategySpec, spec_sha256


def lives_of(
    home: Home, spec: StrategySpec, *, alpha: float, holdings: Callable[[], Holdings] | None = None
) -> tuple[Life, ...]:
    """Every life of a strategy, on paper and live, each tested on its own; none while its evidence promises nothing.

    Paper and live are two lives and not one: a strategy may go back to paper, and then their results interleave.

    Args:
        home: Whose.
        spec: The strategy.
        alpha: Of each test.
        holdings: Who knows what is held live, in the service; None: the positions file.

    Raises:
        StateFileError: a file makes no sense.
    """
    evidence = load_evidence(home, spec.id)
    if evidence is None or evidence.promise is None or evidence.spec_sha256 != spec_sha256(spec):
        return ()
    promise, found = evidence.promise, list[Life]()
    account = load_account(home, spec.id)
    if account is not None and account.spec_sha256 == evidence.spec_sha256:
        found.append(life_of("paper", promise, paper_results(account, promise), alpha=alpha))
    live = live_results(read_holdings(home) if holdings is None else holdings(), spec, promise)
    if live is not None:
        found.append(life_of("live", promise, live, alpha=alpha))
    return tuple(found)


def life_lines(home: Home, spec: StrategySpec) -> list[str]:
    """What `./lab trace strategy` tells of the lives of a strategy.

    Raises:
        SettingsError: `lab.yaml` makes no sense.
        StateFileError: a file makes no sense.
    """
    lives = lives_of(home, spec, alpha=read_settings(home.settings_file).living.alpha)
    if not lives:
        return ["Held to its promise: never; its evidence promises nothing, or it has no result yet"]
    return ["Held to its promise:", *(f"  {life.where}: {life}" for life in lives)]


def paper_results(account: PaperAccount, promise: LifePromise) -> NDArray[np.float64]:
    """(n,) results of a paper account in the promise's unit, oldest first."""
    if promise.settlements_a_result:
        return sums(of_equity_before(account.results), promise.settlements_a_result)
    trades = [trade_result(t.pnl_quote, t.quantity_base, t.entry_price) for t in account.trades]
    return np.array(trades, dtype=np.float64)


def live_results(held: Holdings, spec: StrategySpec, promise: LifePromise) -> NDArray[np.float64] | None:
    """(n,) results of a live carry in the promise's unit, oldest first, from what the venue booked; None: never live.

    A settlement counts when it is booked. Prices and fees of a position are known when it is closed, and count with the
    next settlement, as the exit does on paper. Fractions are of the equity that would have given the position its size.
    """
    if not isinstance(spec.parameters, CarryParameters) or not promise.settlements_a_result:
        return None
    closed = [position for position in held.closed if position.spec_id == spec.id]
    live = next((one for one in held.lives if one.spec_id == spec.id), None)
    if not closed and live is None:
        return None
    of_both_legs = spec.parameters.capital_fraction / (1.0 + 1.0 / spec.parameters.leverage)
    results, left = list[float](), 0.0
    for position in closed:
        if position.capital_quote is None or position.settled is None:
            continue  # closed by an older lab: its size is not known
        scale = of_both_legs / float(position.capital_quote)
        for settled in position.settled:
            results.append(float(settled.amount_quote) * scale + left)
            left = 0.0
        left += float(position.profit_quote - position.funding_quote) * scale
    if live is not None:
        scale = of_both_legs / float(live.capital_quote)
        for settled in settled_of(live):
            results.append(float(settled.amount_quote) * scale + left)
            left = 0.0
    return sums(np.array(results, dtype=np.float64), promise.settlements_a_result)
