"""Where ideas end: seen, refused by reason, on paper, in review, live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ops.pictures.style import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE, SIZE, SKY, figure, png

SHOWN = 8
"""Reasons of refusals with a bar of their own."""


@dataclass(frozen=True, slots=True)
class Funnel:
    """How many ideas are where."""

    tried: int
    """Performances that were ever shown to anything that chooses; one idea may have several, a cheap refusal none."""
    refused: Mapping[str, int]
    """Before paper, by reason."""
    given_up: int
    """Retired after they were on paper."""
    under_test: int
    """Not judged yet."""
    on_paper: int
    in_review: int
    live: int

    @property
    def seen(self) -> int:
        """All of them."""
        alive = self.under_test + self.on_paper + self.in_review + self.live
        return sum(self.refused.values()) + self.given_up + alive


def funnel_chart(funnel: Funnel, *, is_synthetic: bool) -> bytes:
    """A bar each, its count at the end; a lab that has seen nothing has bars of nothing."""
    rows = _rows(funnel)
    made = figure(1.6 + 0.5 * len(rows))
    axes = made.subplots()
    names, counts, colors = zip(*rows, strict=True)
    bars = axes.barh(range(len(rows)), counts, color=colors, height=0.72)
    axes.bar_label(bars, [f"{count:,}" for count in counts], padding=6, fontsize=SIZE, color=INK)
    axes.set_yticks(range(len(rows)), names, fontsize=SIZE)
    axes.invert_yaxis()
    axes.set_xlim(0, max(1, *counts) * 1.15)
    axes.xaxis.set_visible(False)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    title = f"Where {funnel.seen:,} ideas ended; performances looked at: {funnel.tried:,}"
    made.suptitle(title, x=0.02, ha="left", fontsize=SIZE + 2, color=INK)
    return png(made, is_synthetic=is_synthetic)


def _rows(funnel: Funnel) -> list[tuple[str, int, str]]:
    refused = sorted(funnel.refused.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = sum(count for _, count in refused[SHOWN:])
    rows = [("ideas seen", funnel.seen, INK)]
    rows += [(f"✗ {reason.lower().replace('_', ' ')}", count, FAINT) for reason, count in refused[:SHOWN]]
    if rest:
        rows.append((f"✗ {len(refused) - SHOWN} other reasons", rest, FAINT))
    rows += [
        ("✗ given up after paper", funnel.given_up, ORANGE),
        ("being tested", funnel.under_test, SKY),
        ("on paper", funnel.on_paper, BLUE),
        ("waiting for you", funnel.in_review, PURPLE),
        ("live", funnel.live, GREEN),
    ]
    return rows
