"""How headlines sound, as of when, and never a number from too few of them; Fear & Greed as it is published."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_brain.senses.fear_greed import FearGreedIndex, read_fear_greed
from ai_brain.senses.news_fetcher import Headline
from ai_brain.senses.relevance import Relevance, relevance
from ai_brain.senses.sense_record import SenseRecord
from ai_brain.senses.sentiment_analyzer import LEXICON, score, tone
from ai_brain.senses.sentiment_settings import SentimentSettings
from sandbox.chain import ChainDesk
from tests.ai_brain.senses.test_onchain_monitor import Page, jump
from tests.loopback import serving
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
SETTINGS = SentimentSettings()
NAMES = "Anna Boris Carla Dario Edgar Frieda Greta Heidi Ivan Jonas Karl Lena Mia Nils"
PLACES = "Paris Tokyo Lagos Lima Oslo Cairo Seoul Quito Delhi Accra Milan Riga Bonn Baku"


def headlines(text: str, count: int, *, age_h: float = 1.0, known_ms: int = NOW_MS) -> list[Headline]:
    """So many that sound the same and say something else."""
    at_ms = NOW_MS - int(age_h * HOUR_MS)
    return [Headline(f"{NAMES[i]} {PLACES[i]} number{i}: {text}", "F", at_ms - i, "u", known_ms) for i in range(count)]


@pytest.mark.parametrize(
    ("title", "sign"),
    [
        ("Bitcoin plunges below $60k as exchange is hacked", -1),
        ("SEC sues Binance", -1),
        ("Exchange halts withdrawals amid insolvency fears", -1),
        ("Bitcoin is not surging", -1),
        ("Bitcoin soars to a new high as ETF is approved", 1),
        ("Ethereum rallies after upgrade", 1),
        ("Bitcoin is not crashing", 1),
        ("MicroStrategy shares and securities: interest in the trust", 0),
        ("", 0),
    ],
)
def test_a_headline_of_the_trade_sounds_like_what_it_says(title: str, sign: int) -> None:
    found = score(title)
    assert (found > 0) - (found < 0) == sign


def test_every_word_of_the_lexicon_is_a_word_with_a_weight_that_vader_knows() -> None:
    lexicon = json.loads(LEXICON.read_text("utf-8"))
    assert len(lexicon) > 100
    assert all(word == word.lower() and " " not in word and -4.0 <= weight <= 4.0 for word, weight in lexicon.items())


def test_recent_headlines_count_more_and_the_error_is_that_of_a_weighted_mean() -> None:
    old, new = headlines("bitcoin crashes", 8, age_h=48), headlines("bitcoin soars", 6, age_h=0.5)
    bad, good = score(old[0].title), score(new[0].title)
    found = tone([*old, *new], "BTC", SETTINGS, now_ms=NOW_MS)
    w_old, w_new = 0.5 ** (48 / 12), 0.5 ** (0.5 / 12)
    mean = (8 * w_old * bad + 6 * w_new * good) / (8 * w_old + 6 * w_new)
    assert found.mean == pytest.approx(mean, abs=1e-6)
    error = math.sqrt(8 * (w_old * (bad - mean)) ** 2 + 6 * (w_new * (good - mean)) ** 2) / (8 * w_old + 6 * w_new)
    assert found.standard_error == pytest.approx(error, abs=1e-6)
    assert (found.headlines, found.known_ms) == (14, NOW_MS)
    assert "n = 14" in found.in_words


def test_too_few_headlines_are_no_number_and_neither_are_copies_or_what_is_about_something_else() -> None:
    few = headlines("bitcoin soars", 11)
    assert tone(few, "BTC", SETTINGS, now_ms=NOW_MS).mean is None
    assert "not enough headlines (11 of 12)" in tone(few, "BTC", SETTINGS, now_ms=NOW_MS).in_words
    copies = [Headline("Bitcoin soars again today they say", f"F{i}", NOW_MS - i, "u", NOW_MS) for i in range(20)]
    assert tone(copies, "BTC", SETTINGS, now_ms=NOW_MS).headlines == 1
    assert tone(headlines("the weather is lovely", 14), "BTC", SETTINGS, now_ms=NOW_MS).headlines == 0


def test_a_headline_read_later_changes_nothing_that_was_told_before() -> None:
    known = headlines("bitcoin soars", 13)
    before = tone(known, "BTC", SETTINGS, now_ms=NOW_MS)
    later = [Headline("Bitcoin crashes, panic, exchange hacked", "F", NOW_MS - HOUR_MS, "u", NOW_MS + 1)]
    assert tone([*known, *later], "BTC", SETTINGS, now_ms=NOW_MS) == before
    assert tone([*known, *later], "BTC", SETTINGS, now_ms=NOW_MS + 1).headlines == 14


@pytest.mark.parametrize(
    ("title", "coin", "found"),
    [
        ("Bitcoin miners sell", "BTC", Relevance.COIN),
        ("Ethereum upgrade is near", "BTC", Relevance.MARKET),
        ("SEC delays its decision", "BTC", Relevance.MARKET),
        ("Football results", "BTC", Relevance.NONE),
        ("PEPE doubles", "PEPE", Relevance.COIN),
    ],
)
def test_a_headline_is_about_the_coin_the_market_or_neither(title: str, coin: str, found: Relevance) -> None:
    assert relevance(title, coin) is found


@given(st.text(max_size=60))
def test_any_text_has_a_score_within_bounds(text: str) -> None:
    assert -1.0 <= score(text) <= 1.0


async def test_fear_and_greed_is_known_from_when_it_was_read_and_stale_after_two_days() -> None:
    clock = Clock(origin_ms=NOW_MS)
    async with serving(ChainDesk(clock)) as url:
        async with FearGreedIndex(SentimentSettings(fear_greed_url=f"{url}/fng/"), clock) as index:
            found = await index.fetch()
            assert found is not None
            assert 0 <= found.value <= 100
            assert found.at_ms == NOW_MS // 86_400_000 * 86_400_000
            assert index.as_of(NOW_MS - 1) is None
            jump(clock, 3 * 86_400)
            assert index.as_of(clock.now_ms()) is None
        async with FearGreedIndex(SentimentSettings(enabled=False), clock) as off:
            assert await off.fetch() is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>", "Invalid JSON"),
        (b'{"data": [{"value": 54, "value_classification": "Neutral", "timestamp": "1699920000"}]}', "data.0.value=54"),
        (b'{"data": [{"value": "540", "value_classification": "Neutral", "timestamp": "1699920000"}]}', "0 to 100"),
        (b'{"data": [{"value": "54", "value_classification": "Neutral", "timestamp": "1999920000"}]}', "not begun"),
        (b'{"data": []}', "no value of the last"),
        (b'{"data": [{"value": "5", "value_classification": "Obey", "timestamp": "1699920000"}]}', "Extreme Fear"),
    ],
)
async def test_an_index_that_makes_no_sense_is_a_reason_and_no_value(body: bytes, why: str) -> None:
    clock = Clock(origin_ms=NOW_MS)
    async with (
        serving(Page(body)) as url,
        FearGreedIndex(SentimentSettings(fear_greed_url=f"{url}/fng/"), clock) as index,
    ):
        with pytest.raises(DataProviderError, match=why):
            await index.fetch()
        assert index.as_of(NOW_MS + 1000) is None


def test_values_of_several_days_are_read_with_the_moment_they_were_read() -> None:
    rows = [
        {"value": str(v), "value_classification": "Fear", "timestamp": str(1_699_920_000 - 86_400 * v)} for v in (1, 2)
    ]
    found = read_fear_greed(json.dumps({"data": rows}).encode(), now_ms=NOW_MS)
    assert [(one.value, one.words, one.known_ms) for one in found] == [(1, "Fear", NOW_MS), (2, "Fear", NOW_MS)]


def test_the_record_keeps_what_was_known_when_and_stays_small(tmp_path: Path) -> None:
    record = SenseRecord(tmp_path / "senses.jsonl", max_bytes=500)
    for i in range(20):
        record.note("fear_greed", at_ms=NOW_MS, known_ms=NOW_MS + i, facts={"value": i})
    text = "".join(path.read_text("utf-8") for path in (record.older, tmp_path / "senses.jsonl"))
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["value"] for line in lines] == list(range(20 - len(lines), 20))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3 * 500
