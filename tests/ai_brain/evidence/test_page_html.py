"""The evidence page as HTML: the same words as the Markdown page, safe whoever wrote them, and charts that say why."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

from ai_brain.evidence.charts.chart import Chart, LeftOut
from ai_brain.evidence.charts.gallery import OF_CARRY, gallery
from ai_brain.evidence.charts.inline_svg import Paint
from ai_brain.evidence.charts.of_chance import null_chart, power_chart
from ai_brain.evidence.curve import Curve
from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.page_html import evidence_html
from ai_brain.evidence.page_style import STYLE
from ai_brain.evidence.run import LEFT_OPEN, TradeLine
from ai_brain.evidence.run_tables import read_trades, trades_csv
from ai_brain.evidence.verdict import (
    Confirmation,
    Evidence,
    Finding,
    FittedPaths,
    Neighbours,
    Overfitting,
    Power,
    Stress,
    Verdict,
)
from tests.ai_brain.markets import HOUR_MS, START_MS
from trading.domain.errors import StateFileError

TITLES = ("Equity", "Drawdown", "Rolling Sharpe", "Cost split", "Trades a month", "Luck alone", "Power")
HOSTILE = "</p></td><script>alert(\"x\")</script><img src=x onerror=alert(1)> & $x^2$ 'quoted'"


def a_curve(bars: int = 900) -> Curve:
    """Search, two judged stretches and the vault, each but the first past a hole of ten bars."""
    names = ("search", "walk-forward 1/2", "walk-forward 2/2", "vault")
    stretch = tuple(name for name in names for _ in range(bars // 4))
    hours = np.arange(len(stretch)) + 10 * np.repeat(np.arange(4), bars // 4)
    steps = np.random.default_rng(2).normal(0.0001, 0.004, len(stretch))
    return Curve(START_MS + HOUR_MS * hours, 10_000.0 * np.exp(np.cumsum(steps)), stretch)


def some_trades(count: int = 44) -> tuple[TradeLine, ...]:
    entries = [START_MS + number * 40 * HOUR_MS for number in range(count)]
    return tuple(
        TradeLine(ms, ms + HOUR_MS, (1, -1)[n % 2], 0.1, 30_000.0, 30_100.0, 1.2, 0.3, -0.1, (n % 5) - 1.5,
                  LEFT_OPEN if n == count - 1 else "EXIT")
        for n, ms in enumerate(entries)
    )  # fmt: skip


@pytest.fixture
def full(evidence: Evidence) -> Evidence:
    """With what could have been proven, so that every chart can be drawn."""
    power = Power(
        bars=2777, vault_bars=444, vault_level=0.02, trials=14, trial_sharpe_variance=0.001, confidence=0.95,
        provable_sharpe_annual=8.5,
    )  # fmt: skip
    told = {
        "power": power,
        "confirmation": Confirmation(
            opening=3, opened_ms=START_MS, family="b" * 64, p_value=0.0123, level=0.0034, place=7, confirmed=False
        ),
        "overfitting": Overfitting(strategies=240, blocks=16, probability=0.137),
        "neighbours": Neighbours(
            count=12, earning=11, median_net_return=0.011, worst="entry_long 1: rsi(15) < 28", worst_net_return=-0.002
        ),
        "fitted_paths": FittedPaths(
            variants=13, splits=15, paths=5, chosen=4, lowest_sharpe_annual=0.31, median_sharpe_annual=0.57,
            highest_sharpe_annual=1.23,
        ),
        "stress": (
            Stress(name="crash of March 2020", bars=744, net_return=-0.0456, max_drawdown=0.0678),
            Stress(name="failure of FTX, November 2022", bars=0),
        ),
    }  # fmt: skip
    return evidence.model_copy(update=told)


class Reader(HTMLParser):
    """What a browser would see: tags with their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@cache
def _drawn(evidence_json: str) -> str:
    return evidence_html(Evidence.model_validate_json(evidence_json), a_curve(), some_trades())


def page_of(evidence: Evidence) -> str:
    """With all its charts; drawn once for all tests."""
    return _drawn(evidence.model_dump_json())


def plain(line: str) -> list[str]:
    """A line of the Markdown page as pieces of text: a row by its cells, without signs."""
    if re.fullmatch(r"\|(---\|)+", line):
        return []
    cells = re.split(r"(?<!\\)\|", line.strip("|")) if line.startswith("|") else [line]
    words = [" ".join(re.sub(r"^#+ |^- |\*\*", "", cell.strip()).replace("\\|", "|").split()) for cell in cells]
    return [word for word in words if word]


def svgs(page: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)


def test_every_word_and_every_number_of_the_markdown_page_is_on_the_html_page(full: Evidence) -> None:
    page = Reader(page_of(full))
    assert not page.open
    markdown = evidence_markdown(full)
    pieces = [piece for line in markdown.splitlines() for piece in plain(line)]
    assert len(pieces) > 70
    assert [piece for piece in pieces if piece not in page.text] == []
    numbers = Counter(re.findall(r"\d[\d.,:]*", markdown.replace("**", "")))
    assert not numbers - Counter(re.findall(r"\d[\d.,:]*", page.text))


def test_vault_search_choices_and_hard_times_are_told_with_their_numbers(full: Evidence) -> None:
    page = evidence_markdown(full)
    for words in (
        "**not confirmed** with p = 0.0123 at a level of 0.0034, as candidate 7 of all ever.",
        "- opening 3 of the vault's book, written down 2023-11-15T00:00:00Z, then read",
        "among 240 strategies",
        "in 13.7%",
        "15 splits (4 of 13 were the best of some), 5 whole paths had a Sharpe of 0.31 to 1.23 a year, 0.57",
        "- crash of March 2020: -4.560%, drawdown 6.780%, 744 bars",
        "- failure of FTX, November 2022: not on this tape, or in the vault",
    ):
        assert words in page


def test_the_significance_says_whether_it_is_of_the_walk_forward_or_of_the_whole_record(full: Evidence) -> None:
    assert "## Significance of the walk-forward chain\n" in evidence_markdown(full)
    assert full.statistics is not None
    record = full.model_copy(update={"statistics": full.statistics.model_copy(update={"bars": 2700})})
    assert "## Significance of the record, search included\n" in evidence_markdown(record)


def test_the_page_leads_with_the_verdict_and_the_number_that_decided_it(full: Evidence) -> None:
    bad = Finding(
        reason=GateReason.TOO_FEW_TRADES, passed=False, refuses=True, value=2.0, limit=30.0, note="2 trades, 30 needed."
    )
    refused = full.model_copy(update={"verdict": Verdict.REJECTED, "deciding": bad.reason, "findings": (bad,)})
    page = evidence_html(refused, None, ())
    body = page[page.index("<body>") :]
    order = (
        '<header class="rejected">',
        "<h1>REJECTED: Slow breakout",
        "2 trades, 30 needed",
        "Thesis:",
        "<h2>What was",
    )
    places = [body.index(words) for words in order]
    assert places == sorted(places)
    assert '<td data-head="passed"><span class="bad">NO</span></td>' in body


def test_seven_charts_each_with_a_caption_that_says_its_n_and_words_for_who_cannot_see_it(full: Evidence) -> None:
    page = page_of(full)
    assert re.findall(r"<h3>(.*?)</h3>", page) == list(TITLES)
    captions = [html.unescape(words) for words in re.findall(r"<figcaption>(.*?)</figcaption>", page, flags=re.DOTALL)]
    assert len(captions) == len(TITLES)
    for caption in captions:
        assert re.search(r"\bn = \d", caption), caption
        assert caption.endswith("."), caption
        assert caption.count(". ") == 0, "one sentence"
    drawn = svgs(page)
    assert len(drawn) == len(TITLES)
    for svg in drawn:
        root = ET.fromstring(svg)  # noqa: S314 # our own
        assert root.attrib["role"] == "img"
        assert re.search(r"\d", root.attrib["aria-label"])


def test_the_page_is_one_file_that_loads_and_runs_nothing(full: Evidence) -> None:
    text = page_of(full)
    page = Reader(text)
    assert not {tag for tag, _ in page.tags} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "a",
        "image",
        "foreignobject",
    }
    assert "://" not in text
    assert "url(#" in text
    assert not re.search(r"url\((?!#)|@import", text)
    policy = [
        a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    aims = re.findall(r'(?:url\(#|href="#)([^)"]+)', text)
    assert set(aims) <= set(ids)


def test_words_of_a_language_model_stay_words(full: Evidence) -> None:
    finding = full.findings[0].model_copy(update={"note": HOSTILE})
    hostile = full.model_copy(
        update={
            "name": HOSTILE, "thesis": HOSTILE, "spec_id": HOSTILE, "findings": (finding,), "quarantined": True,
            "suspicious": (HOSTILE,), "costs": {HOSTILE: 1.0},
        }
    )  # fmt: skip
    page = Reader(evidence_html(hostile, None, ()))
    assert not page.open
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in Reader(page_of(full)).tags} | {"ul", "li"}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count(HOSTILE) == 11, "title twice, thesis, note, trade, cost, three files"


def test_a_thesis_cannot_begin_a_heading_or_a_row_of_the_markdown_page(evidence: Evidence) -> None:
    forged = "Good.\n\n# APPROVED: by me\n| DEFLATED_SHARPE_LOW | yes | 1 | 0.95 | sure |"
    finding = evidence.findings[0].model_copy(update={"note": "a | yes | b\nc"})
    page = evidence_markdown(evidence.model_copy(update={"thesis": forged, "name": forged, "findings": (finding,)}))
    assert len(re.findall(r"^# ", page, flags=re.MULTILINE)) == 1
    assert "| a \\| yes \\| b c |" in page
    assert not re.search(r"^\| DEFLATED", page, flags=re.MULTILINE)


def test_the_same_evidence_gives_the_same_bytes_whatever_matplotlib_was_told_before(full: Evidence) -> None:
    first = page_of(full)
    with mpl.rc_context({"font.size": 23.0, "svg.hashsalt": "other", "axes.linewidth": 3.0}):
        before = dict(mpl.rcParams)
        assert evidence_html(full, a_curve(), some_trades()) == first
        assert dict(mpl.rcParams) == before
    assert not re.search(r"<!--|metadata|matplotlib\.org|Matplotlib v", first)


def test_what_cannot_be_drawn_is_left_out_with_the_reason(evidence: Evidence) -> None:
    bare = evidence.model_copy(update={"statistics": None, "data": ()})
    page = Reader(evidence_html(bare, None, ()))
    assert "svg" not in {tag for tag, _ in page.tags}
    for title in TITLES:
        assert f"{title}: not drawn. " in page.text
    carry = evidence.model_copy(update={"family": "funding_carry"})
    assert gallery(carry, None, ())[-1] == LeftOut("Power", OF_CARRY)
    short = gallery(evidence, Curve(np.array([START_MS]), np.array([9_990.0]), ("search",)), some_trades(1))
    assert [type(drawn) for drawn in short] == [Chart, Chart, LeftOut, Chart, Chart, Chart, LeftOut]
    assert "too few for a band" in str(short[0])
    assert "1 bars are too few" in str(short[2])


def test_so_few_bars_that_nothing_passes_have_no_power_chart(full: Evidence) -> None:
    assert full.power is not None
    assert full.statistics is not None
    few = full.power.model_copy(update={"bars": 2})
    assert power_chart(few, bars_per_year=8760.0) == LeftOut(
        "Power", "With 2 bars no Sharpe ratio reaches the threshold."
    )
    still = full.statistics.model_copy(update={"trial_sharpe_variance": 0.0})
    assert isinstance(null_chart(still, bars_per_year=8760.0), LeftOut)


def test_luck_is_that_of_as_many_unrelated_ideas_as_those_tried_amount_to(full: Evidence) -> None:
    assert full.statistics is not None
    assert full.power is not None
    told = null_chart(full.statistics, bars_per_year=8760.0)
    alike = null_chart(full.statistics.model_copy(update={"expected_maximum": 1.538753}), bars_per_year=8760.0)
    assert isinstance(told, Chart)
    assert isinstance(alike, Chart)
    assert "best of N = 14 worthless ideas on n = 1,110 bars" in told.caption
    assert "best of N = 14 worthless ideas, which go together as 10 unrelated ones do, on" in alike.caption
    easier = power_chart(full.power.model_copy(update={"expected_maximum": 0.0}), bars_per_year=8760.0)
    harder = power_chart(full.power, bars_per_year=8760.0)
    halves = [float(re.findall(r"one half at ([0-9.]+);", chart.caption)[0]) for chart in (easier, harder)]  # type: ignore[union-attr]
    assert halves[0] < halves[1]


def test_a_made_up_market_is_said_at_the_top(full: Evidence) -> None:
    made_up = full.model_copy(update={"data": (full.data[0].model_copy(update={"origin": "synthetic"}),)})
    page = evidence_html(made_up, None, ())
    assert page.index("SYNTHETIC MARKET") < page.index("</header>")


def test_trades_survive_their_file_to_the_last_bit() -> None:
    carry = TradeLine(START_MS, None, 0, 0.1, 1.0 / 3.0, None, 1.0, 2.0, 3.0, 4.0, "X", 7.0 / 3.0, None)
    trades = (*some_trades(5), carry)
    assert read_trades(trades_csv(trades)) == trades
    assert read_trades(b"") == ()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("number,entry", "nr,entry", "trades: line 1"),
        (",long,", ",sideways,", "trades: line 2: 'sideways'"),
        ("30000.0", "much", "trades: line 2: could not convert string to float: 'much'"),
        ("30000.0", "inf", "trades: line 2: 'inf': not a finite number"),
        (",EXIT,,", ",EXIT,", "trades: line 2: 13 fields, expected 14"),
    ],
)
def test_a_file_that_is_no_table_of_trades_is_refused_with_its_line(old: str, new: str, words: str) -> None:
    broken = trades_csv(some_trades(3)).decode().replace(old, new, 1).encode()
    with pytest.raises(StateFileError) as told:
        read_trades(broken)
    assert words in str(told.value)


def test_reading_evidence_does_not_import_what_draws() -> None:
    code = "import sys, ai_brain.evidence.page_html; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"


def brightness(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255.0 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a: str, b: str) -> float:
    high, low = sorted((brightness(a), brightness(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_words_and_lines_can_be_told_from_what_is_behind_them(scheme: int) -> None:
    """WCAG 2.2: 4.5 for text, 3 for lines that mean something."""
    sheet = re.findall(r":root \{(.*?)\}", STYLE, flags=re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", sheet))
    assert {paint.name.lower() for paint in Paint} <= set(colours)
    for behind in ("paper", "card"):
        for words in ("ink", "muted", "good", "caution", "bad"):
            assert contrast(colours[words], colours[behind]) >= 4.5, (words, behind)
    for shade in ("card", "search", "odd", "even", "vault"):
        for line in ("main", "loss", "mark"):
            assert contrast(colours[line], colours[shade]) >= 3.0, (line, shade)
