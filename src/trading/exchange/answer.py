"""A JSON document of the venue, read field by field: what we need is checked strictly, the rest is ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from trading.domain.errors import DataProviderError

LARGEST_EXPONENT = 40
"""No price, quantity, time or id is beyond 1e40; arithmetic with what is would hang or overflow."""
SHOWN = 80
"""Characters of a bad value that a message repeats."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON object of the venue, read field by field; every miss is a `DataProviderError` with where, field, value."""

    fields: Mapping[str, object]
    where: str

    @staticmethod
    def of(document: object, where: str) -> Answer:
        """The object in a document."""
        if not isinstance(document, dict):
            raise DataProviderError(f"{where}: expected a JSON object, got {str(document)[:SHOWN]!r}")
        return Answer(document, where)

    def text(self, name: str) -> str:
        """A field as text; numbers and texts alike."""
        value = self.fields.get(name)
        if value is None or isinstance(value, (dict, list)):
            raise DataProviderError(f"{self.where}: {name}={value!r}: missing from the venue's answer")
        return str(value)

    def decimal(self, name: str) -> Decimal:
        """A finite decimal of a size that arithmetic can bear."""
        text = self.text(name)
        try:
            value = Decimal(text)
        except InvalidOperation as error:
            raise DataProviderError(f"{self.where}: {name}={text!r}: not a number") from error
        if not value.is_finite() or abs(value.adjusted()) > LARGEST_EXPONENT:
            raise DataProviderError(f"{self.where}: {name}={text[:SHOWN]!r}: not a number of this world")
        return value

    def number(self, name: str) -> float:
        """A finite float."""
        return float(self.decimal(name))

    def whole(self, name: str) -> int:
        """An integer: a time, an id, a count."""
        value = self.decimal(name)
        if value != int(value):
            raise DataProviderError(f"{self.where}: {name}={value}: not a whole number")
        return int(value)

    def flag(self, name: str) -> bool:
        """true or false."""
        value = self.fields.get(name)
        if not isinstance(value, bool):
            raise DataProviderError(f"{self.where}: {name}={value!r}: not true or false")
        return value

    def has(self, name: str) -> bool:
        """The field is there and not empty."""
        return self.fields.get(name) not in (None, "")


def rows(document: object, where: str) -> list[object]:
    """The list in a document.

    Raises:
        DataProviderError: it is none.
    """
    if not isinstance(document, list):
        raise DataProviderError(f"{where}: expected a JSON list, got {str(document)[:SHOWN]!r}")
    return document


def answers(document: object, where: str) -> list[Answer]:
    """The objects of the list in a document."""
    return [Answer.of(row, where) for row in rows(document, where)]
