"""What the lab was told of one market's candles, and which word counted when.

The live tape keeps the first word on a bar. A second look replaces a word that made no sense. A start of the lab reads
its history anew: where that says another word, the tape holds the new one from then on. Nothing else does: what a venue
says again later changes no decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trading.domain.market import Bar

Cells = tuple[float, float, float, float, float]
"""Open, high, low, close and base volume."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word on a candle."""

    from_ms: int
    """Since when live tapes held it: when it was told; of a later word when the lab was started that read it."""
    cells: Cells


class ToldCandles:
    """Words by open time, each bar's oldest first.

    Args:
        words: What is known already.
    """

    def __init__(self, words: dict[int, tuple[Word, ...]] | None = None) -> None:
        self._words = dict(words or {})
        self._heard: set[tuple[int | None, int]] = set()
        """(start of the lab, open time) of the bars of which a word has been taken."""

    def hear(self, bar: Bar, *, at_ms: int, start_ms: int | None, is_second_look: bool = False) -> None:
        """Take one telling. They come in the order they were told; the same stretch may be heard again.

        Args:
            bar: A closed candle.
            at_ms: Lab time it was told.
            start_ms: When the lab was started that heard it; None: not known.
            is_second_look: It was asked for because the word before made no sense.
        """
        ms, cells = bar.open_time_ms, (bar.open, bar.high, bar.low, bar.close, bar.volume_base)
        held, is_first = self._words.get(ms, ()), (start_ms, ms) not in self._heard
        self._heard.add((start_ms, ms))
        if not held:
            self._words[ms] = (Word(at_ms, cells),)
        elif is_second_look:
            self._words[ms] = tuple(_replaced(held, at_ms, cells))
        elif is_first and start_ms is not None and start_ms > held[-1].from_ms and held[-1].cells != cells:
            self._words[ms] = (*held, Word(start_ms, cells))

    def fill(self, ms: int, cells: Cells) -> None:
        """A word that is known from elsewhere, of a bar of which nothing is."""
        self._words.setdefault(ms, (Word(0, cells),))

    def seen(self, ms: int, at_ms: int) -> Cells | None:
        """The word that a tape held at a time, or the first that came after it; None: nothing was told."""
        held = self._words.get(ms, ())
        return next((word.cells for word in reversed(held) if word.from_ms <= at_ms), held[0].cells if held else None)

    def is_certain(self, ms: int, at_ms: int, *, for_ms: int, was_told: bool) -> bool:
        """Whether it is known which word whoever looked at a bar saw.

        Args:
            ms: Of the bar's opening.
            at_ms: From when on it could be looked at.
            for_ms: For how long after that it may have been: another word in this time may have been seen.
            was_told: It must have been told by `at_ms`.
        """
        held = self._words.get(ms, ())
        if not held or (was_told and held[0].from_ms > at_ms):
            return False
        return not any(at_ms < word.from_ms < at_ms + for_ms for word in held[1:])

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._words))

    def __contains__(self, ms: int) -> bool:
        return ms in self._words

    def newest(self, count: int) -> dict[int, tuple[Word, ...]]:
        """The words on the newest bars, at most so many."""
        return {ms: self._words[ms] for ms in sorted(self._words)[-count:]}


def _replaced(held: tuple[Word, ...], at_ms: int, cells: Cells) -> Iterator[Word]:
    """The words with that of a time replaced; one that was told later stands."""
    then = max((at for at, word in enumerate(held) if word.from_ms <= at_ms), default=-1)
    for at, word in enumerate(held):
        yield Word(word.from_ms, cells) if at == then else word
