"""The errors of the package, one tree so that one ``except`` catches them all.

::

    CapsuleError
    ├── ArgumentError          a call refused before anything is sent or computed
    ├── DataError              input that cannot be read: not XML, not JSON, wrong shape
    │   └── NoProjectionError      no account of a portfolio can be projected
    ├── CompletenessError      the server's answers do not show that every record was read
    ├── TransportError         no usable answer: connection, timeout, size limit, redirect
    ├── ApiError               the server refused a request
    │   ├── AuthenticationError    401 or 403: the token is wrong or lacks access
    │   ├── NotFoundError          404
    │   └── RateLimitError         429 that did not clear in time
    ├── RateError              no exchange rate for a currency and date
    ├── HistoryError           the snapshot store cannot be opened, read or written
    ├── DeliveryError          a report is whole, but was not sent to everyone
    ├── ConfigError            a configuration file that cannot be used
    └── MissingExtraError      an optional dependency is not installed
"""

from __future__ import annotations

from ._safe_text import safe

__all__ = [
    "ApiError",
    "ArgumentError",
    "AuthenticationError",
    "CapsuleError",
    "CompletenessError",
    "ConfigError",
    "DataError",
    "HistoryError",
    "MissingExtraError",
    "NoProjectionError",
    "NotFoundError",
    "RateError",
    "RateLimitError",
    "TransportError",
    "missing_extra",
]

__dir__ = __all__.copy  # what completion offers


class CapsuleError(Exception):
    """Root of every error that the package raises on purpose.

    Its words are safe to show: they hold no token and nothing that drives a terminal, though they
    may quote what a server said.
    """

    def __init__(self, *words: object) -> None:
        super().__init__(*map(safe, words))


class ArgumentError(CapsuleError, ValueError):
    """An argument is invalid; the message names the valid options."""


class DataError(CapsuleError, ValueError):
    """Input could not be read as what it should be."""


class NoProjectionError(DataError):
    """No account of a portfolio can be projected.

    Attributes
    ----------
    left_out
        The accounts: ``account``, ``day``, ``path`` and ``problem`` of each.
    """

    def __init__(self, message: str, left_out: list[dict[str, str]]) -> None:
        super().__init__(message)
        self.left_out = left_out


class CompletenessError(CapsuleError):
    """A load could not be shown to be complete, so no frame is returned."""


class TransportError(CapsuleError):
    """No usable answer came back over the network."""


class ApiError(CapsuleError):
    """The server refused a request.

    Attributes
    ----------
    status
        The HTTP status code.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type[ApiError], tuple[str, int]]:
        """Let it cross to another process, as workers of a cluster send it."""
        return type(self), (str(self), self.status)


class AuthenticationError(ApiError):
    """The token is missing, wrong, or lacks access (401, 403)."""


class NotFoundError(ApiError):
    """The thing asked for does not exist (404)."""


class RateLimitError(ApiError):
    """The request limit is used up and does not clear in time (429)."""


class RateError(CapsuleError):
    """No exchange rate is known for a currency on a date."""


class HistoryError(CapsuleError):
    """The snapshot store cannot be opened, read or written."""


class DeliveryError(CapsuleError):
    """A message was not taken, or not for everyone; the report that it is about is whole."""


class ConfigError(CapsuleError, ValueError):
    """A configuration file cannot be used."""


class MissingExtraError(CapsuleError, ImportError):
    """An optional dependency is not installed; the message names the extra."""


def missing_extra(purpose: str, extra: str) -> MissingExtraError:
    """Build the error for an optional dependency that is not installed.

    Parameters
    ----------
    purpose
        What needs it, as the start of a sentence: ``"The snapshot store"``.
    extra
        The extra that brings it, as written in ``pip install capsule-analytics[extra]``.

    Returns
    -------
    The error, to be raised ``from`` the ImportError.

    Examples
    --------
    >>> print(missing_extra("The sandbox", "sandbox"))
    The sandbox needs an optional dependency: pip install "capsule-analytics[sandbox]"
    """
    return MissingExtraError(
        f'{purpose} needs an optional dependency: pip install "capsule-analytics[{extra}]"'
    )
