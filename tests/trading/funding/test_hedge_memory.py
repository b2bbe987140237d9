"""What the hedge watch remembers: everything is told once, worse is told again, and a restart forgets nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from trading.domain.clock import HOUR_MS
from trading.domain.decisions import Decision, Reason
from trading.domain.hedge import ContractTerms
from trading.funding.hedge_memory import OVER_MS, HedgeMemory, Told
from trading.funding.hedge_watch import Consequence, Finding, HedgeId
from trading.storage.home import Home

NOW_MS = 1_700_000_000_000
MINUTE_MS = 60_000


def finding(consequence: Consequence, where: str = "BTCUSDT") -> Finding:
    decision = Decision(False, Reason.ADL_RANK, 3.0, 3.0, "near the front")
    return Finding(HedgeId.ADL_RANK, where, consequence, decision)


def terms(hours: int) -> ContractTerms:
    return ContractTerms(hours * HOUR_MS, 0.003, -0.003)


def test_terms_are_learned_silently_and_a_change_is_known_with_its_time_after_a_restart(home: Home) -> None:
    path = home.state / "hedge_watch.json"
    memory = HedgeMemory(path)
    assert memory.terms("BTCUSDT") is None
    assert memory.learn("BTCUSDT", terms(8), NOW_MS).before is None
    assert HedgeMemory(path).learn("BTCUSDT", terms(8), NOW_MS + 5).changed_ms is None
    changed = HedgeMemory(path).learn("BTCUSDT", terms(4), NOW_MS + 9)
    assert (changed.now, changed.before, changed.changed_ms) == (terms(4), terms(8), NOW_MS + 9)
    assert HedgeMemory(path).terms("BTCUSDT") == changed


looks = st.lists(
    st.tuples(
        st.integers(1, 90),
        st.dictionaries(st.sampled_from("ab"), st.sampled_from(Consequence), max_size=2),
        st.booleans(),
    ),
    max_size=12,
)
"""(minutes since the look before, what is found, whether the lab was restarted in between)."""


@settings(max_examples=40, deadline=None)
@given(looks)
def test_each_finding_is_told_once_until_it_is_worse_or_was_over(looks: list[tuple[int, dict[str, Consequence], bool]]):
    with tempfile.TemporaryDirectory() as folder:
        path, now_ms = Path(folder) / "hedge_watch.json", NOW_MS
        memory, told, seen_ms = HedgeMemory(path), dict[str, int](), dict[str, int]()
        for minutes, found, is_restarted in looks:
            if is_restarted:
                memory = HedgeMemory(path)
                seen_ms = {}  # of what stands, the hour begins anew: a lab that was down saw nothing
            now_ms += minutes * MINUTE_MS
            news = memory.news([finding(consequence, where) for where, consequence in found.items()], now_ms)
            fresh = {where for where, consequence in found.items() if consequence > told.get(where, 0)}
            assert {one.where for one in news.found} == fresh
            for where, consequence in found.items():
                told[where], seen_ms[where] = max(told.get(where, 0), consequence), now_ms
            over = {where for where in told if now_ms - seen_ms.setdefault(where, now_ms) >= OVER_MS}
            assert {one.where for one in news.over} == over
            for where in over:
                del told[where], seen_ms[where]


def test_what_is_over_says_what_it_was(home: Home) -> None:
    memory = HedgeMemory(home.state / "hedge_watch.json")
    memory.news([finding(Consequence.LEAVE)], NOW_MS)
    assert memory.news([], NOW_MS + OVER_MS - 1).over == ()
    assert memory.news([], NOW_MS + OVER_MS).over == (Told("ADL_RANK", "BTCUSDT", Consequence.LEAVE),)
