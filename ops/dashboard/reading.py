"""Files of state read as they lie: what cannot be read is a line of its own, and nothing is set aside or mended.

`trading.storage.files.read_json` renames a broken file so that nothing overwrites it. Whoever only looks must not.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from ops.dashboard.settings import PageSettings
from ops.numbers import Numbers
from ops.object_file import read_object
from ops.yaml_file import read_yaml
from trading.domain.clock import LAST_MS
from trading.domain.errors import SettingsError
from trading.domain.first_fault import first_fault
from trading.notify.alerts import OpenAlert
from trading.notify.ledger import LEDGER
from trading.risk.limits import RiskLimits
from trading.risk.memory import Memory
from trading.storage.home import Home

Read = TypeVar("Read")
NUMBERS = TypeAdapter(Numbers)
COUNTERS = TypeAdapter(Memory)
_ALERTS = TypeAdapter(dict[str, OpenAlert])


def read_as(path: Path, kind: TypeAdapter[Read], problems: list[str]) -> Read | None:
    """A file of state; None: there is none, or a line was added to the problems."""
    return as_told(read_object(path, problems), kind, str(path), problems)


def as_told(data: dict[str, object], kind: TypeAdapter[Read], where: str, problems: list[str]) -> Read | None:
    """What an object says; None: it is empty, or a line was added to the problems."""
    if not data:
        return None
    if odd := senseless(data):
        problems.append(f"{where}: {odd}; look at it, or restore it from a backup")
        return None
    try:
        return kind.validate_python(data)
    except ValidationError as error:
        problems.append(f"{where}: {first_fault(error)}; look at it, or restore it from a backup")
        return None


def senseless(data: object) -> str | None:
    """The first number that is none, or the first time that no calendar has, in words; None: there is none."""
    left = [("", data)]  # a list and no recursion: a file may be nested as deep as it likes
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            left += [(str(key), part) for key, part in value.items()]
        elif isinstance(value, list):
            left += [(name, part) for part in value]
        elif isinstance(value, float) and not math.isfinite(value):
            return f"{name}={value}: not a finite number"
        elif isinstance(value, int | float) and name.endswith("_ms") and abs(value) > LAST_MS:
            return f"{name}={value}: no moment in UTC milliseconds"
    return None


def open_alerts(home: Home, problems: list[str]) -> dict[str, OpenAlert]:
    """What is wrong now, by key, as the outbox has it; what is over and only waits to be told is not."""
    path = home.outbox / LEDGER
    alerts = read_object(path, problems).get("alerts")
    told = as_told(alerts, _ALERTS, str(path), problems) if isinstance(alerts, dict) else None
    return {key: alert for key, alert in (told or {}).items() if not alert.is_over}


class _Page(BaseModel):
    """The part of `lab.yaml` that the page itself goes by."""

    page: PageSettings = PageSettings()


class _Risk(BaseModel):
    """The part of `lab.yaml` with the limits."""

    risk: RiskLimits = RiskLimits()


class _Service(BaseModel):
    """Of the service how often its loop runs."""

    loop_s: int = 60


class _Loop(BaseModel):
    """The part of `lab.yaml` with it."""

    service: _Service = _Service()


def read_page_settings(home: Home) -> PageSettings:
    """Where the page listens. Only its own part is looked at: a slip elsewhere may be why the lab is dead.

    Raises:
        SettingsError: not YAML, or its own part makes no sense.
    """
    return read_yaml(home.settings_file, _Page).page


def read_loop_s(home: Home, problems: list[str]) -> int | None:
    """Between two cycles, as `lab.yaml` has it; None: it cannot be read, and a line was added to the problems."""
    try:
        return read_yaml(home.settings_file, _Loop).service.loop_s
    except SettingsError as error:
        problems.append(str(error))
        return None


def read_limits(home: Home, problems: list[str]) -> RiskLimits | None:
    """The limits as `lab.yaml` has them now; None: it cannot be read, and a line was added to the problems."""
    try:
        return read_yaml(home.settings_file, _Risk).risk
    except SettingsError as error:
        problems.append(str(error))
        return None
