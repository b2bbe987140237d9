"""Every night: what own fills and recorded books say of slippage and of resting orders, written for whoever charges.

It learns from the journal of intents and from the last hours of the raw recording; where there is neither, nothing is
written. What it changes is in `ops/judgement/costs_in_force.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ai_brain.desk.learned_file import read_learned, write_learned
from ai_brain.desk.learned_fills import ALL, LearnedFills, LearnedRatio
from ops.apart import apart
from ops.judgement.costs_in_force import carry_in_force, prior_of
from ops.nightly.fills import learn_night, markets_to_read
from ops.service.lab import Lab
from trading.domain.errors import DataProviderError, FarmError
from trading.exchange.open_venue import TRADES_AT
from trading.exchange.recorded_looks import Key
from trading.market.tape import Tape

LOOKED_BACK_MS = 12 * 3_600_000
"""Of the recording: an hour of two markets takes about a quarter of a second to read."""


async def run(lab: Lab) -> None:
    """Learn, write, have the desk weigh what was learned, and tell what changed.

    Raises:
        StateFileError: the journal, the recording, or what was learned before cannot be read, or the file cannot be
            written.
    """
    if lab.settings.venue.exchange != TRADES_AT:
        return  # the bars that are read are of another exchange than the orders were sent to
    before, now_ms = read_learned(lab.home), lab.clock.now_ms()
    from_ms = now_ms - LOOKED_BACK_MS
    async with lab.turn:
        markets = await apart(markets_to_read, lab.home, from_ms)
    if markets is None:
        return
    tapes = await _tapes(lab, markets)
    async with lab.turn:
        learned = await apart(learn_night, lab.home, lab.settings, before, tapes, from_ms=from_ms, at_ms=now_ms)
    write_learned(lab.home, learned)
    carry = carry_in_force(lab.settings, learned, *lab.symbols)
    if lab.desk is not None:
        lab.desk.weigh(carry)
    facts = {"version": learned.version, "before": "nothing" if before is None else before.version}
    changes = "; ".join(changed(learned, before)) or "nothing that is charged has changed"
    lab.tell("fills.learned", {**facts, "changes": changes, "impact_bps": carry.impact_bps})


def changed(learned: LearnedFills, before: LearnedFills | None) -> list[str]:
    """What is charged otherwise from now on, one line each: old and new with n and interval."""
    was = before or LearnedFills(as_of_ms=0)
    pairs = [("slippage", now, was.ratio_of(now.market, now.symbol)) for now in learned.slippage if now.size == ALL]
    pairs += [("impact", now, was.impact_of(now.market, now.symbol)) for now in learned.impact]
    gone = [r for r in was.slippage if r.size == ALL and learned.ratio_of(r.market, r.symbol) is None]
    pairs += [("slippage", prior_of(old.market, old.symbol), old) for old in gone]
    return [line for what, now, old in pairs if (line := _change(what, now, old)) is not None]


def _change(what: str, now: LearnedRatio, old: LearnedRatio | None) -> str | None:
    old = old or prior_of(now.market, now.symbol)
    if now.assumed == old.assumed:
        return None
    name = f"{what} of {now.market} {now.symbol}"
    by = f"{now.n} orders" if now.n else "recorded books"
    return (
        f"{name} {old.assumed:.3g} to {now.assumed:.3g} times the model's, by {by} {now.ratio:.3g} "
        f"({now.low:.3g} to {now.high:.3g})"
    )


async def _tapes(lab: Lab, markets: Sequence[Key]) -> dict[Key, Tape]:
    """Bars of those markets; one whose history is not there teaches nothing tonight."""
    found = dict[Key, Tape]()
    for market, symbol in markets:
        try:
            found[market, symbol] = await lab.history.tape(market, symbol, lab.settings.research.timeframe)
        except (DataProviderError, FarmError) as error:
            lab.tell("fills.no_bars", {"market": f"{market} {symbol}", "why": str(error)})
    return found
