"""The stage of a cycle that watches what breaks the hedge: looked at, judged, told once, and kept for the decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from trading.domain.errors import DataProviderError, ExecutionError
from trading.domain.events import Severity
from trading.execution.reconcile import DifferenceKind
from trading.funding.cycle_risk import CycleRisk
from trading.funding.hedge_memory import Told
from trading.funding.hedge_watch import Consequence, Finding, HedgeId, forced_words, judge
from trading.funding.ledger import Pair
from trading.funding.position import CarryPosition

WORDS = {
    Consequence.TOLD: "nothing is done",
    Consequence.NO_ENTRY: "nothing new is opened, what is held is kept",
    Consequence.LEAVE: "what is held is closed by the ordinary exit",
    Consequence.FLAT: "both legs are closed at once and trading halts",
}


_News = TypeVar("_News", Finding, Told)


def _together(news: Iterable[_News], kind_of: Callable[[_News], str]) -> Iterable[Sequence[_News]]:
    """News by what tells them: sources that fall silent, or answer again, in one look are one message."""
    groups = dict[str, list[_News]]()
    for one in news:
        is_silence = kind_of(one) == HedgeId.SOURCE_SILENT
        groups.setdefault(f"{one.consequence}" if is_silence else f"{kind_of(one)}:{one.where}", []).append(one)
    return groups.values()


class CycleHedge(CycleRisk):
    """What is found here stands above the market's own numbers: an entry asks it first, an exit needs nothing else."""

    _liquidation_distance: float | None = None
    """Of what is held, fraction; None: nothing is, the venue names no price, or it could not be read for long."""

    async def _watch_hedge(self, pair: Pair, *, armed: bool) -> tuple[Finding, ...]:
        """Look and judge, while something is held or may be opened; strongest first."""
        live, watch = self._live, self._room.hedge
        if live is None and not armed:
            return ()
        sight = await watch.look(
            self._tools,
            pair.symbol,
            opened_ms=live.opened_ms if live is not None else None,
            min_liquidation_distance=self._room.carry.min_liquidation_pct / 100,
        )
        self._liquidation_distance = sight.liquidation_distance
        self._keep(replace(self._hand, liquidation_distance=sight.liquidation_distance))
        findings = judge(sight, watch.settings)
        news = watch.memory.news((finding for finding in findings if finding.is_news), sight.now_ms)
        for alike in _together(news.found, lambda one: one.id):
            decision = alike[0].decision
            facts = {
                "kind": alike[0].id.value,
                "where": ", ".join(one.where for one in alike),
                "value": decision.value,
                "limit": decision.limit,
                "note": "; ".join(one.decision.note for one in alike),
                "then": WORDS[alike[0].consequence],
            }
            self._room.tell("hedge.found", facts, Severity.NOTICE)
        for over in _together(news.over, lambda one: one.kind):
            facts = {"kind": over[0].kind, "where": ", ".join(one.where for one in over)}
            self._room.tell("hedge.over", facts, Severity.NOTICE)
        self.report = replace(self.report, checks=(*self.report.checks, *(f.decision for f in findings)))
        return findings

    async def _explain_forced(self, pair: Pair, lost: CarryPosition) -> None:
        """What was held is closed because the venue had it otherwise: say how, as the venue tells it."""
        if not any(difference.kind is DifferenceKind.PERP_MISSING for difference in self.report.differences):
            return
        try:
            forced = await self._tools.venue.forced_orders(pair.symbol, start_ms=lost.opened_ms)
        except (DataProviderError, ExecutionError) as error:
            self._room.tell("hedge.forced", {"note": f"why it was closed could not be read: {error}"}, Severity.NOTICE)
            return
        notes = [forced_words(order) for order in forced if order.filled_base > 0]
        for note in notes or [f"the exchange lists no forced order of {pair.symbol}: a settlement, or a hand"]:
            self._room.tell("hedge.forced", {"note": note}, Severity.NOTICE)
