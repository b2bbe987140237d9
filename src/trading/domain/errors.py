"""Every error the lab raises on purpose; a branch says what must happen next.

TradingEngineError
├── SettingsError              a setting, flag or file of ours is wrong: fix it, then start again
├── SpecError                  a strategy file or rule is wrong: fix the strategy
├── StateFileError             a file the lab keeps cannot be read or written: it is set aside, look at it
├── VaultError                 that stretch was opened before for this line of ideas: wait for newer bars
├── FarmError                  a process that works for the lab is missing, of other code, or died: mend the machine
├── OrderValidationError       refused before it left: fix the request, do not resend
├── PortfolioUpdateError       books and fills disagree: halt, reconcile
├── DataProviderError          data missing, stale or contradictory: wait, do not trade
│   ├── NetworkDownError       nothing answered at all
│   └── KeyRefusedError        the venue does not take our key: a human must look at it
├── ModelAnswerError           a language model gave no usable answer: no idea, a counter, a reason
├── NotifierError              a message was not delivered: it stays in the outbox
└── ExecutionError             the venue answered, or did not
    ├── OrderRejectedError     definite no: nothing rests at the venue
    ├── RateLimitError         definite no for now, carries retry_after_s
    └── OutcomeUnknownError    may or may not rest at the venue: look it up, never resend
"""


class TradingEngineError(Exception):
    """Base of everything below. The message says what, where, the value, and what to do."""


class SettingsError(TradingEngineError):
    """A setting, flag or file of ours is wrong."""


class SpecError(TradingEngineError):
    """A strategy file, its parameters or a rule in it is wrong."""


class StateFileError(TradingEngineError):
    """A file the lab keeps cannot be read or written."""


class VaultError(TradingEngineError):
    """A stretch of the vault was opened before for this line of ideas: judge it on newer bars."""


class FarmError(TradingEngineError):
    """Processes that work for the lab are missing, of other code, or die at their work."""


class OrderValidationError(TradingEngineError):
    """An order was refused before it left."""


class PortfolioUpdateError(TradingEngineError):
    """The books do not add up."""


class DataProviderError(TradingEngineError):
    """Market data is missing, stale or contradictory."""


class NetworkDownError(DataProviderError):
    """No answer from the other side at all."""


class KeyRefusedError(DataProviderError):
    """The venue does not take our key: revoked, lapsed, of another secret, or used from another address."""


class DamagedFileError(DataProviderError):
    """What a file holds is not what was written; the machine could read it."""


class ModelAnswerError(TradingEngineError):
    """A language model gave no usable answer."""


class NotifierError(TradingEngineError):
    """A message could not be delivered.

    Attributes:
        retry_after_s: What the other side asked us to wait, seconds; None when it did not say.
        permanent: True when sending the same again cannot work.
        may_have_arrived: True when it left and no answer came: sending it again may tell it twice.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        permanent: bool = False,
        may_have_arrived: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.permanent = permanent
        self.may_have_arrived = may_have_arrived


class ExecutionError(TradingEngineError):
    """The venue answered with a refusal, or did not answer."""


class OrderRejectedError(ExecutionError):
    """A definite no: nothing rests at the venue.

    Attributes:
        code: The venue's own error code, None when it gave none.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class RateLimitError(ExecutionError):
    """A definite no for now.

    Attributes:
        retry_after_s: Seconds the venue asked us to stay away.
    """

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OutcomeUnknownError(ExecutionError):
    """The order may or may not rest at the venue: look it up by its client id, never resend."""
