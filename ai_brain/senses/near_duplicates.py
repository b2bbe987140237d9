"""Headlines that say the same in nearly the same words: one of them is enough. Pure.

Two titles are near duplicates when three quarters of all their words are shared, or when nearly every word of the
shorter one, if it has five or more, stands in the longer one. Numbers are words: "above 60,000" is not "above 70,000".
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

SHARED_MIN = 0.75
"""Words in both, of the words in either."""
HELD_MIN = 0.9
"""Words of the shorter title that the longer one has."""
SHORTEST_HELD = 5
MOST_WORDS = 40
_WORD = re.compile(r"[\w$%]+(?:[.,]\d+)*")
_EMPTY = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by for from has have in is it its of on or says that the this to was were will with",
    )
)


T = TypeVar("T")


def words_of(title: str) -> frozenset[str]:
    """A title's words that carry meaning, without case; of an endless one the first."""
    return frozenset(_WORD.findall(title.casefold())[:MOST_WORDS]) - _EMPTY


def is_near(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two titles say the same; titles without words say nothing and are near nothing."""
    if not one or not other:
        return False
    shared = len(one & other)
    shorter, either = min(len(one), len(other)), len(one | other)
    return shared >= SHARED_MIN * either or (shorter >= SHORTEST_HELD and shared >= HELD_MIN * shorter)


def without_near_duplicates(items: Sequence[T], title: Callable[[T], str]) -> list[T]:
    """The items, less each that says what an earlier one of them says; in their order.

    Looks only at items that share a word, so that some hundred titles take milliseconds.
    """
    kept: list[T] = []
    kept_words: list[frozenset[str]] = []
    by_word: defaultdict[str, list[int]] = defaultdict(list)
    seen_blank = set[str]()
    for item in items:
        words = words_of(title(item))
        if not words:
            blank = title(item).casefold()
            if blank in seen_blank:
                continue
            seen_blank.add(blank)
        candidates = {place for word in words for place in by_word[word]}
        if any(is_near(words, kept_words[place]) for place in candidates):
            continue
        for word in words:
            by_word[word].append(len(kept))
        kept.append(item)
        kept_words.append(words)
    return kept
