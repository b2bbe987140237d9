"""Files of the lab's as they lie there, for who only looks."""

from __future__ import annotations

import json
from pathlib import Path

from trading.storage.home import Home


def read_object(path: Path, problems: list[str]) -> dict[str, object]:
    """A JSON object as it lies there, nothing set aside; empty: none, or a line was added to the problems."""
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path}: cannot be read ({error}); look at it, or restore it from a backup")
        return {}
    if not isinstance(data, dict):
        problems.append(f"{path}: a {type(data).__name__} where an object should be; restore it from a backup")
        return {}
    return data


def living_files(home: Home) -> list[Path]:
    """Files of the strategies that are not retired."""
    return sorted(path for folder in ("active", "testing") for path in (home.strategies / folder).glob("*.json"))


def retired_count(home: Home) -> int:
    """How many strategies are retired: in months thousands, so that they are counted and not read."""
    return sum(1 for _ in (home.strategies / "retired").glob("*.json"))
