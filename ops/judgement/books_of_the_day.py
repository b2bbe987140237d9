"""The books of the lab as they were on the day a verdict was published: what they said is taken from its evidence.

The ledger has grown since, the vault is spent and the stream has gone on. None of these books is written to here, but
for a look whose numbers the ledger does not hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from ai_brain.evidence.candidate_stream import CandidateStream, Decision
from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.trial_ledger import Trial, TrialLedger
from ai_brain.evidence.vault import Opening, Sealed, Vault
from ai_brain.evidence.verdict import Evidence
from trading.domain.errors import VaultError

_OF_A_LOOK = ("spec_sha256", "data_sha256", "stretch", "start_ms", "end_ms", "sharpe_bar", "net_return", "entries")


class LedgerOfTheDay(TrialLedger):
    """Says what the ledger said when the verdict was published, before the first look and after.

    Looks that today's ledger holds are not recorded again; others are, before anyone learns of them: the tape, the
    settings, the code or the spec are not what they were.
    """

    def __init__(self, published: Evidence, today: TrialLedger) -> None:
        self._power, self._statistics = published.power, published.statistics
        self._today, self._has_looked = today, False
        self.new_looks = 0

    def record(self, trials: Sequence[Trial]) -> None:
        """Write down what is new.

        Raises:
            StateFileError: it could not be written; then it must not be shown.
        """
        self._has_looked = True
        held = {
            tuple(row[name] for name in _OF_A_LOOK)
            for sha256 in {trial.spec_sha256 for trial in trials}
            for row in self._today.trials_of(sha256)
        }
        new = [trial for trial in trials if tuple(getattr(trial, name) for name in _OF_A_LOOK) not in held]
        self._today.record(new)
        self.new_looks += len(new)

    def count(self) -> int:
        """N as published; 1 where it never came to that."""
        if self._power is not None and not self._has_looked:
            return self._power.trials
        return self._statistics.trials if self._statistics else 1

    def knows(self, spec_sha256: str) -> bool:
        """It is among those that were counted."""
        return True

    def effective_count(self) -> int:
        """Effective N as published."""
        return (self._statistics.effective_trials if self._statistics else None) or self.count()

    def expected_maximum(self, *, more: int = 0) -> float:
        """Of as many worthless ideas, as published."""
        known = self._power if self._power is not None and not self._has_looked else self._statistics
        return (known.expected_maximum if known else None) or 0.0


class VaultOfTheDay(Vault):
    """Opens what was opened on the day, under its number; the book is not touched."""

    def __init__(self, published: Evidence) -> None:
        self._published = published

    def family_of(self, spec_sha256: str, *, symbol: str, sketch: bytes | None) -> str:
        """The family as published."""
        found = self._published.confirmation
        return spec_sha256 if found is None else found.family

    def open(self, stretch: Sealed, *, sketch: bytes | None = None) -> Opening:
        """The opening of the day, or the refusal of the day."""
        found, data = self._published.confirmation, "+".join(used.content_hash for used in self._published.data)
        if (stretch.spec_sha256, stretch.data_sha256) != (self._published.spec_sha256, data):
            raise VaultError("vault: it is not opened for another strategy or another tape than the verdict was of")
        if found is not None:
            return Opening(found.opening, found.opened_ms, stretch)
        refused = next((f.note for f in self._published.findings if f.reason is GateReason.VAULT_SPENT), None)
        if refused is None:
            raise VaultError("vault: it was not opened when the verdict was published")
        raise VaultError(refused.removesuffix("."))


class StreamOfTheDay(CandidateStream):
    """Tests at the level of the day; writes nothing."""

    def __init__(self, published: Evidence) -> None:
        self._confirmed, self._power = published.confirmation, published.power

    def next_level(self) -> float:
        """What the next candidate would have been tested at, when the verdict was published."""
        return (self._power.vault_level if self._power else None) or 1.0

    def decide(self, *, spec_sha256: str, family: str, p_value: float) -> Decision:
        """The answer of the day to the p-value of the day; to any other, what the level of the day says."""
        found = self._confirmed
        if found is not None and p_value == found.p_value_now:
            return Decision(level=found.level, rejected=found.confirmed, place=found.place, p_value=found.p_value)
        level, place = (0.0, 0) if found is None else (found.level, found.place)
        return Decision(level=level, rejected=p_value <= level, place=place, p_value=p_value)
