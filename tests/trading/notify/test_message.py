"""How a message is cut: nothing is lost, everything fits."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.notify.message import MAX_CAPTION, MAX_TEXT, Message, parts, plain, units


def test_a_message_that_fits_stays_as_it_is():
    message = Message("report", "<b>short</b>", is_html=True)
    assert parts(message) == [message]


def test_a_long_message_is_cut_at_line_ends():
    lines = [f"line {n}: " + "x" * 90 for n in range(100)]
    cut = parts(Message("report", "\n".join(lines)))
    assert len(cut) == 3
    assert [line for part in cut for line in part.text.split("\n")] == lines


def test_a_cut_message_loses_its_markup_but_no_word():
    cut = parts(Message("report", "<b>" + "word &amp; " * 800 + "</b>", is_html=True))
    assert not any(part.is_html for part in cut)
    assert "".join(part.text for part in cut) == "word & " * 800


def test_a_text_too_long_for_a_caption_stays_whole_and_its_photos_follow_under_its_first_line_and_id():
    text = "\n".join(["Approval of fc-1", *["y" * 100] * 20, "id m-7"])
    whole, pictures = parts(Message("approval", text, photos=(b"one", b"two"), dedup_key="k"))
    assert (whole.text, whole.photos, whole.dedup_key) == (text, (), "k")
    assert (pictures.text, pictures.photos, pictures.dedup_key) == ("Approval of fc-1\nid m-7", (b"one", b"two"), "")


def test_a_first_line_longer_than_a_caption_is_cut_under_the_photo():
    *_, picture = parts(Message("report", "x" * 5000, photos=(b"png",)))
    assert units(picture.text) == MAX_CAPTION


def test_more_photos_than_fit_are_a_mistake_of_the_writer():
    with pytest.raises(ValueError, match="11 photos, 10 fit"):
        Message("report", "x", photos=(b"png",) * 11)


def test_one_endless_line_of_emoji_is_cut_by_the_units_they_take():
    cut = parts(Message("report", "📊" * 5000))
    assert all(units(part.text) <= MAX_TEXT for part in cut)
    assert "".join(part.text for part in cut) == "📊" * 5000


@given(st.text(alphabet="a📊é \n<&", min_size=1, max_size=9000).filter(str.strip))
def test_every_part_fits_and_nothing_but_line_ends_is_lost(text):
    cut = parts(Message("report", text))
    assert all(units(part.text) <= MAX_TEXT for part in cut)
    assert "".join(part.text for part in cut).replace("\n", "").strip() == text.replace("\n", "").strip()


def test_an_empty_message_is_a_mistake_of_its_writer():
    with pytest.raises(ValueError, match="kind 'report' has no text"):
        Message("report", " \n")


def test_plain_text_keeps_a_lone_less_than_sign():
    assert plain("<b>1 < 2</b> &amp; <code>x</code>") == "1 < 2 & x"


def test_importing_the_room_does_not_import_the_telegram_library():
    code = "import sys, trading.notify.outbox, trading.notify.console; sys.exit('telegram' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
