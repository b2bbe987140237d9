"""`docs/settings.md` is made of the models behind `lab.yaml` and `.env.example`; `LAB_WRITE_DOCS=1` makes it anew."""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ops.environment import ALIASES, KNOWN
from ops.settings import LabSettings
from tests.ops.test_settings import field_words

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "settings.md"
HEAD = """# Every setting

Made of the code by `LAB_WRITE_DOCS=1 ./lab test tests/ops/test_settings_page.py`; without that word the same test holds
the page to the code.

Settings that are no secret stand in `lab.yaml`, each with its default; remove a line and the default stands, and
without the file every default does. It is read once, at the start. A value outside its range, a name that is not known
or a key given twice is one line at the start, and the lab does not begin ([what bad input gets](bad-input.md)). The
hash of what was read is on every record the lab writes. Secrets and gates stand in [`.env`](#env).

*Range* is what the lab accepts, not what is wise; some settings must also fit together, which the line at the start
says. `-` under *unit*: a number without one, a name or a choice. *none* as a default: off, or not known, and the words
say which. *Lab seconds* run with the market, which the demo plays faster than life; real seconds do not.
"""
SUFFIXES = {
    "pct": "percent", "bps": "basis points", "s": "seconds", "h": "hours", "d": "days", "days": "days", "usdt": "USDT",
    "usd": "US dollars", "btc": "BTC", "gb": "gigabytes", "bars": "bars", "hours": "hours",
}  # fmt: skip
"""The last word of a name, or one before a second thought such as `_max`, is the unit."""
IN_THE_MIDDLE = ("pct", "bps", "s", "usd", "bars")
UNUSED_NAMES = {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OLLAMA_HOST"}
"""Names that `.env` may have and nothing reads, so that nobody's file is refused for them."""


def unit(name: str) -> str:
    """The unit that a setting's name says, or `-`."""
    words = name.split("_")
    if words[-1] in SUFFIXES:
        return SUFFIXES[words[-1]]
    return next((SUFFIXES[word] for word in words[:-1] if word in IN_THE_MIDDLE), "-")


def shown(value: object) -> str:
    """A value as `lab.yaml` has it."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return "<br>".join(f"`{one}`" for one in value) or "`[]`"
    return f"`{json.dumps(value) if isinstance(value, bool) else value}`"


def linked(words: str) -> str:
    """A page that is named becomes a link to it."""
    return re.sub(r"\bdocs/([\w-]+\.md)", r"[\1](\1)", words)


def bounds(told: dict[str, Any]) -> str:
    """The range of a number, in words."""
    low = f"{told['minimum']:,}" if "minimum" in told else ""
    low = f"above {told['exclusiveMinimum']:,}" if "exclusiveMinimum" in told else low
    high = f"{told['maximum']:,}" if "maximum" in told else ""
    high = f"below {told['exclusiveMaximum']:,}" if "exclusiveMaximum" in told else high
    whole = "whole, " if told["type"] == "integer" else ""
    if low and high:
        return f"{whole}{low} to {high}"
    return whole + (
        f"{low} or more" if low and "above" not in low else low or f"up to {high}" if low or high else "any"
    )


def span(told: dict[str, Any]) -> str:
    """What a setting may be, from its JSON schema."""
    if "anyOf" in told:
        (kind,) = (one for one in told["anyOf"] if one["type"] != "null")
        return f"{span(kind)}, or none"
    if "enum" in told:
        return ", ".join(f"`{one}`" for one in told["enum"])
    if told["type"] == "array":
        most = f"at most {told['maxItems']} of " if "maxItems" in told else "any number of "
        return most + span(told["items"])
    if told["type"] == "boolean":
        return "`true`, `false`"
    if told["type"] in ("integer", "number"):
        return bounds(told)
    return f"`{told['pattern'].replace('|', chr(92) + '|')}`" if "pattern" in told else "text"


def section(name: str, model: BaseModel) -> Iterator[str]:
    """One section of `lab.yaml` as a heading and a table."""
    yield from (f"## {name}", "", linked((inspect.getdoc(type(model)) or "").splitlines()[0]), "")
    yield from ("| setting | default | unit | range | what it is |", "|---|---|---|---|---|")
    told = type(model).model_json_schema()["properties"]
    words = field_words(type(model))
    for field, value in model.model_dump(mode="json").items():
        means = linked(words.get(field, "").replace("|", "\\|"))
        yield f"| `{field}` | {shown(value)} | {unit(field)} | {span(told[field])} | {means} |"
    yield ""


def environment_names() -> Iterator[tuple[str, str]]:
    """Name and meaning of each line of `.env.example`: the comment above it, or above the line that it follows."""
    means: list[str] = []
    is_new = True
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            means = [*([] if is_new else means), line.removeprefix("# ")]
            is_new = False
        elif "=" in line:
            yield line.partition("=")[0], linked(" ".join(means))
            is_new = True
        else:
            means, is_new = [], True


def written() -> str:
    """The page as models and `.env.example` say it."""
    lines = [HEAD]
    for name, model in LabSettings():
        lines += section(name, model)
    lines += [
        "## .env",
        "",
        "Secrets and gates: the file `.env`, mode 0600, or the environment of the process, which wins.",
        "",
    ]
    lines += ["| name | what it is |", "|---|---|"]
    lines += [f"| `{name}` | {means} |" for name, means in environment_names()]
    old = ", ".join(f"`{name}` (`{new}`)" for name, new in ALIASES.items())
    unused = ", ".join(f"`{name}`" for name in sorted(UNUSED_NAMES))
    lines += [
        "",
        f"Old names, taken with a warning: {old}. Known and not used: {unused}. `LAB_HOME`, in the environment",
    ]
    lines += ["only, names the folder of a lab; without it, it is the checkout.", ""]
    return "\n".join(lines)


def test_the_page_of_settings_is_the_code() -> None:
    if os.environ.get("LAB_WRITE_DOCS"):
        PAGE.write_text(written(), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(), "LAB_WRITE_DOCS=1 writes it"
    assert [line for line in page.splitlines() if line.endswith("|  |")] == [], "a setting without a word about it"


def test_every_secret_that_is_read_stands_in_the_example() -> None:
    names = [name for name, _ in environment_names()]
    assert len(names) == len(set(names))
    assert set(names) == set(KNOWN) - UNUSED_NAMES
    assert all(means for _, means in environment_names())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("trade_pct", "percent"),
        ("quote_max_age_orders_s", "seconds"),
        ("history_days", "days"),
        ("usd_per_day", "US dollars"),
        ("jump_cap_pct", "percent"),
        ("gap_bars_max", "bars"),
        ("search_confidence", "-"),
    ],
)
def test_the_unit_is_what_the_name_says(name: str, told: str) -> None:
    assert unit(name) == told


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 100}, "above 0 to 100"),
        ({"type": "integer", "minimum": 1}, "whole, 1 or more"),
        ({"type": "number", "exclusiveMinimum": 0}, "above 0"),
        ({"type": "integer", "maximum": 9}, "whole, up to 9"),
        ({"type": "number"}, "any"),
        (
            {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 65535}, {"type": "null"}]},
            "whole, 0 to 65,535, or none",
        ),
        ({"type": "array", "maxItems": 19, "items": {"enum": ["a", "b"]}}, "at most 19 of `a`, `b`"),
        ({"type": "string", "pattern": "^(a|b)$"}, "`^(a\\|b)$`"),
        ({"type": "boolean"}, "`true`, `false`"),
    ],
)
def test_a_range_is_told_as_the_models_hold_it(schema: dict[str, Any], told: str) -> None:
    assert span(schema) == told
