"""A settings file in YAML, read and validated at the door: one line with file, key, value and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from trading.domain.errors import SettingsError


def flat_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted name a model knows."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from flat_names(kind, f"{prefix}{name}.")


class _OneKeyOnce(yaml.SafeLoader):
    """YAML in which a key given twice is an error, not the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


Settings = TypeVar("Settings", bound=BaseModel)


def read_yaml(path: Path, model: type[Settings]) -> Settings:
    """Read and validate a settings file; a missing one means every default.

    Raises:
        SettingsError: not YAML, an unknown key, a value out of range; one line with file, key, value and range.
    """
    if not path.exists():
        return model()
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_OneKeyOnce)  # noqa: S506  # a SafeLoader of ours
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path}: not UTF-8 text at byte {error.start}; restore it from lab.yaml in the repository"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise SettingsError(
            f"{path}{where}: {getattr(error, 'problem', None) or 'not YAML'}; mend that line"
        ) from error
    if data is None:
        return model()
    if not isinstance(data, dict):
        raise SettingsError(f"{path}: a {type(data).__name__} where settings should be; see lab.yaml in the repository")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SettingsError(f"{path}: {first_complaint(error, model)}") from error


def first_complaint(error: ValidationError, model: type[BaseModel]) -> str:
    """Pydantic's first complaint as one line: key, value, what to do."""
    detail = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        known = list(flat_names(model))
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        near = near or difflib.get_close_matches(name.rsplit(".", 1)[-1], known, n=1, cutoff=0.3)
        return f"{name}: unknown setting; " + (f"did you mean {near[0]}?" if near else "see lab.yaml for the names")
    return f"{name}={detail['input']!r}: {detail['msg']}; change it"
