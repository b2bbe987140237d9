"""The learned file: what moves what is charged, what does not, and what becomes of a file that is broken."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_brain.desk.learned_file import learned_file, read_learned, write_learned
from ai_brain.desk.learned_fills import (
    ALL,
    BOOKS,
    NIGHTS,
    LearnedBooks,
    LearnedFills,
    LearnedRatio,
    Paid,
    books_learned,
    ratios_learned,
    share_learned,
    size_class,
)
from trading.domain.clock import DAY_MS
from trading.domain.errors import StateFileError
from trading.storage.home import Home

AT_MS = 1_700_000_000_000


def orders(
    ratio: float, sagas: int = 40, *, market: str = "perp", notional: float = 500.0, noise: float = 0.05
) -> list[Paid]:
    """One order a saga, each paid about `ratio` times its charge of a basis point."""
    rng, charge = np.random.default_rng(3), notional * 1e-4
    return [
        Paid(market, "BTCUSDT", f"i{n}", AT_MS + n, notional, charge * (ratio + noise * float(rng.normal())), charge)
        for n in range(sagas)
    ]


def only(ratios: Sequence[LearnedRatio], size: str = ALL) -> LearnedRatio:
    (found,) = [ratio for ratio in ratios if ratio.size == size]
    return found


def test_dear_fills_are_charged_from_the_next_night_on_and_cheaper_ones_only_as_far_as_is_sure() -> None:
    dear = only(ratios_learned(orders(2.0), ()))
    assert dear.is_enough
    assert dear.assumed == dear.ratio == pytest.approx(2.0, abs=0.05)
    assert (dear.n, dear.sagas, dear.since_ms, dear.large_quote) == (40, 40, AT_MS, 500.0)
    back = only(ratios_learned(orders(1.5), (dear,)))
    assert back.ratio < back.high <= back.assumed < dear.assumed
    assert back.assumed == pytest.approx(1.52, abs=0.02)
    # fills that say little are believed little, and lower nothing
    unsure = only(ratios_learned(orders(1.5, noise=6.0), (dear,)))
    assert unsure.ratio < unsure.high < dear.assumed
    assert unsure.assumed == dear.assumed


def test_too_few_orders_change_nothing_however_dear_or_cheap() -> None:
    for ratio in (9.0, 0.1):
        few = only(ratios_learned(orders(ratio, 29), ()))
        assert (few.is_enough, few.assumed, few.ratio) == (False, 1.0, 1.0)
        assert few.measured == pytest.approx(ratio, abs=0.05)
    known = only(ratios_learned(orders(2.0), ()))
    assert only(ratios_learned(orders(0.5, 5), (known,))).assumed == known.assumed
    assert ratios_learned((), (known,)) == (known,)  # a journal that is gone takes nothing back


def test_orders_of_several_sizes_are_told_by_class_beside_the_whole() -> None:
    both = [*orders(1.0, 35), *orders(3.0, 35, notional=50_000.0)]
    found = ratios_learned(both, ())
    assert [ratio.size for ratio in found] == [ALL, "to 1,000", "to 100,000"]
    assert only(found, "to 1,000").ratio < 1.1 < 2.5 < only(found, "to 100,000").ratio
    # by money: the large ones are what is paid
    assert only(found).measured == pytest.approx(2.98, abs=0.1)
    assert [size_class(quote) for quote in (1_000.0, 1_001.0, 1e9)] == ["to 1,000", "to 10,000", "beyond"]


def test_recorded_books_may_raise_the_prior_and_never_lower_it() -> None:
    (dear,), (cheap,), (few,) = (
        books_learned(orders(r, n), (), at_ms=AT_MS) for r, n in ((1.8, 40), (0.4, 40), (9.0, 20))
    )
    assert (dear.prior, cheap.prior, few.prior) == (pytest.approx(1.8, abs=0.05), 1.0, 1.0)
    assert only(ratios_learned((), (), (dear,))).assumed == dear.prior
    assert ratios_learned((), (), (cheap,)) == ()
    early = only(ratios_learned(orders(1.0, 5), (), (dear,)))
    assert (early.is_enough, early.assumed) == (False, dear.prior)


def a_night(books: float | None, before: LearnedFills | None, night: int, own: Sequence[Paid] = ()) -> LearnedFills:
    """What is learned on a night of recorded books (None: there were none) and of all own orders so far."""
    before, at_ms = before or LearnedFills(as_of_ms=0), AT_MS + night * DAY_MS
    found = books_learned([] if books is None else orders(books), before.books, at_ms=at_ms)
    return LearnedFills(as_of_ms=at_ms, slippage=ratios_learned(own, before.slippage, found), books=found)


def charged(learned: LearnedFills) -> float:
    ratio = learned.ratio_of("perp", "BTCUSDT")
    return 1.0 if ratio is None else ratio.assumed


def test_one_dear_night_of_books_is_not_charged_for_ever() -> None:
    learned = a_night(5.5, None, 0)
    assert charged(learned) == pytest.approx(5.5, abs=0.05)
    for night in range(1, 31):
        learned = a_night(0.32, learned, night)
        assert (charged(learned) > 1.0) is (night == 1), night  # of two nights the middle is between them
    assert len(learned.books[0].nights) == NIGHTS
    # a market that is dear night after night is charged so, and falls again as the nights do
    for night in range(31, 40):
        learned = a_night(4.0, learned, night)
    assert charged(learned) == pytest.approx(4.0, abs=0.05)
    for night in range(40, 48):
        learned = a_night(2.0, learned, night)
    ratio = only(learned.slippage)
    assert ratio.assumed == ratio.ratio == pytest.approx(2.0, abs=0.05)
    assert ratio.low < ratio.assumed < ratio.high < 4.0


def test_a_night_learned_twice_counts_once_and_one_without_books_changes_nothing() -> None:
    learned = a_night(4.0, a_night(0.3, None, 0), 1)
    assert a_night(4.0, learned, 1) == learned
    for night in range(2, 9):
        learned = a_night(None, learned, night)
        assert charged(learned) == pytest.approx((4.0 + 0.3) / 2, abs=0.05)


def test_books_that_have_become_cheap_lower_nothing_that_own_fills_hold_up() -> None:
    dear = a_night(5.0, None, 0, orders(2.0))
    assert charged(dear) > 1.9
    few = a_night(0.3, a_night(0.3, dear, 1, orders(2.0, 5)), 2, orders(2.0, 5))
    assert charged(few) == charged(dear)
    assert charged(a_night(0.3, few, 3)) == charged(dear)  # and so when the journal is gone


@pytest.mark.parametrize(("is_enough", "still"), [(True, 3.0), (False, 1.0)])
def test_of_a_file_of_an_older_lab_only_what_own_fills_had_raised_stays(is_enough: bool, still: float) -> None:
    old = only(ratios_learned(orders(3.0), ())).model_dump(mode="json")
    del old["by_own"]
    old |= {"assumed": 3.0, "is_enough": is_enough, "n": 40 if is_enough else 0}
    before = LearnedFills(as_of_ms=AT_MS, slippage=(LearnedRatio.model_validate(old),))
    assert charged(a_night(0.3, before, 1)) == still


@given(st.lists(st.floats(0.1, 40.0), min_size=1, max_size=12))
def test_what_books_alone_charge_is_within_the_last_nights_and_never_under_the_model(nights: list[float]) -> None:
    learned = None
    for number, ratio in enumerate(nights):
        rows = [Paid("perp", "BTCUSDT", f"h{n}", AT_MS, 1.0, ratio, 1.0) for n in range(30)]
        before = learned or LearnedFills(as_of_ms=0)
        books = books_learned(rows, before.books, at_ms=AT_MS + number * DAY_MS)
        learned = LearnedFills(as_of_ms=AT_MS, slippage=ratios_learned((), before.slippage, books), books=books)
    assert learned is not None
    last = nights[-NIGHTS:]
    assert max(1.0, min(last)) - 1e-9 <= charged(learned) <= max(1.0, *last) + 1e-9


def test_what_was_written_is_read_again_and_its_version_names_its_content(home: Home) -> None:
    assert read_learned(home) is None
    share = share_learned("spot", "BTCUSDT", BOOKS, within_s=60.0, filled=31, of=100, behind_bps=1.0)
    books = LearnedBooks(market="spot", symbol="X", n=1, hours=1, notional_quote=1.0, measured=None, prior=1.0)
    learned = LearnedFills(as_of_ms=AT_MS, slippage=ratios_learned(orders(2.0), ()), books=(books,), maker=(share,))
    write_learned(home, learned)
    again = read_learned(home)
    assert again == learned
    assert again.version == learned.version
    assert learned.version.startswith("fills of 2023-11-14 ")
    assert learned.model_copy(update={"blind": 1}).version != learned.version
    assert learned.ratio_of("perp", "BTCUSDT") == only(learned.slippage)
    assert (learned.ratio_of("spot", "BTCUSDT"), learned.impact_of("perp", "BTCUSDT")) == (None, None)


@pytest.mark.parametrize("change", [{"slippage": 3}, {"as_of_ms": None}, {"unheard": 1}, {"schema": 99}])
def test_a_file_that_is_none_is_set_aside_and_learned_anew(home: Home, change: dict[str, object]) -> None:
    write_learned(home, LearnedFills(as_of_ms=AT_MS))
    path = learned_file(home)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StateFileError, match=r"set aside as learned_fills\.json\.bad-1"):
        read_learned(home)
    assert read_learned(home) is None


@pytest.mark.parametrize("ratio", [-1.0, 51.0, float("inf")])
def test_a_ratio_of_no_market_is_refused(home: Home, ratio: float) -> None:
    write_learned(home, LearnedFills(as_of_ms=AT_MS, slippage=ratios_learned(orders(2.0), ())))
    path = learned_file(home)
    told = json.loads(path.read_text())
    told["slippage"][0]["assumed"] = ratio
    path.write_text(json.dumps(told))
    with pytest.raises(StateFileError, match=r"slippage\.0\.assumed"):
        read_learned(home)
