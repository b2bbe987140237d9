"""`lab.yaml`: every setting with its unit and default, and one line for everything that can be wrong in it."""

from __future__ import annotations

import ast
import inspect
import os
import textwrap
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from ops.settings import LabSettings, config_hash, read_settings
from trading.domain.errors import SettingsError
from trading.storage.home import Home

FILE = Path(__file__).resolve().parents[2] / "lab.yaml"
HEAD = """# Every setting of the lab that is no secret, with its default. Remove a line and the default stands.
# Units are in the names: _pct percent, _bps basis points, _s seconds, _ms milliseconds, _usdt and _usd amounts.
# Validated at start; the hash of what was read is on every record the lab writes. Secrets go to .env.
"""


def field_words(model: type[BaseModel]) -> dict[str, str]:
    """The sentence under each field, of the model and of those it inherits from."""
    words: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if not issubclass(kind, BaseModel) or kind is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, after in zip(body.body, [*body.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                text = (
                    after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
                )
                words[field.target.id] = " ".join(str(text).split())
    return words


def written() -> str:
    """`lab.yaml` as the models say it."""
    lines = [HEAD]
    for name, section in LabSettings():
        assert isinstance(section, BaseModel)
        title = (inspect.getdoc(type(section)) or "").splitlines()[0]
        lines.append(f"{name}:  # {title}")
        words = field_words(type(section))
        for field, value in section.model_dump(mode="json").items():
            if words.get(field):
                lines.append(f"  # {words[field]}")
            text = yaml.safe_dump(value, default_flow_style=True, width=1000).replace("\n...", "").strip()
            lines.append(f"  {field}: {text}")
        lines.append("")
    return "\n".join(lines)


def test_the_file_in_the_repository_says_every_setting_with_its_default() -> None:
    if os.environ.get("LAB_WRITE_DOCS"):
        FILE.write_text(written())
    assert FILE.read_text() == written()
    assert read_settings(FILE) == LabSettings()


def test_no_file_means_every_default(home: Home) -> None:
    assert read_settings(home.settings_file) == LabSettings()


def test_the_hash_changes_with_any_setting(home: Home) -> None:
    home.settings_file.write_text("risk: {trade_pct: 3.9}\n")
    assert config_hash(read_settings(home.settings_file)) != config_hash(LabSettings())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("risk: {trade_pc: 3}\n", r"risk\.trade_pc: unknown setting; did you mean risk\.trade_pct\?"),
        ("risk: {trade_pct: -3}\n", r"risk\.trade_pct=-3: Input should be greater than"),
        ("risk: {trade_pct: 3, trade_pct: 4}\n", r"line 1 column 22: 'trade_pct' is given twice"),
        ("risk: [\n", r"line 2 column 1: .*mend that line"),
        ("- risk\n", "a list where settings should be"),
        ("risk: {leverage: 50}\n", r"risk\.leverage=50: Input should be less than or equal to 3"),
        ("venue: {symbol: btc}\n", r"venue\.symbol='btc'"),
        ("venue: {more_symbols: [ETHUSDT, BTCUSDT]}\n", r"venue\.more_symbols=.*BTCUSDT is named twice"),
        ("venue: {more_symbols: [ethusdt]}\n", r"venue\.more_symbols\.0='ethusdt'"),
        (f"venue: {{more_symbols: {[f'A{n}USDT' for n in range(20)]}}}\n", r"at most 19 items"),
    ],
)
def test_everything_wrong_is_one_line_with_file_key_and_value(home: Home, text: str, message: str) -> None:
    home.settings_file.write_text(text)
    with pytest.raises(SettingsError, match=message) as refusal:
        read_settings(home.settings_file)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith(str(home.settings_file))
