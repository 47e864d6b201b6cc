"""Sales-pipeline forecasting on Capsule CRM.

``load_pipeline`` reads an account, ``forecast.by_month`` turns it into the probability-weighted
pipeline by close month and currency, ``plot.forecast`` draws it. ``load_sample`` gives a complete
account to try everything on, without a network or a token.

Examples
--------
>>> import capsule_analytics as ca
>>> pipeline = ca.load_sample()
>>> table = ca.forecast.by_month(pipeline)
>>> list(table.columns[:2])
['month', 'currency']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import attention as attention
    from . import calibration as calibration
    from . import deliver as deliver
    from . import errors as errors
    from . import forecast as forecast
    from . import fx as fx
    from . import history as history
    from . import plot as plot
    from . import portfolio as portfolio
    from . import projection as projection
    from . import quality as quality
    from . import report as report
    from . import risk as risk
    from . import sample as sample
    from . import scenarios as scenarios
    from . import schema as schema
    from . import targets as targets
    from .api import CapsuleClient as CapsuleClient
    from .errors import ApiError as ApiError
    from .errors import ArgumentError as ArgumentError
    from .errors import AuthenticationError as AuthenticationError
    from .errors import CapsuleError as CapsuleError
    from .errors import CompletenessError as CompletenessError
    from .errors import ConfigError as ConfigError
    from .errors import DataError as DataError
    from .errors import HistoryError as HistoryError
    from .errors import MissingExtraError as MissingExtraError
    from .errors import NoProjectionError as NoProjectionError
    from .errors import NotFoundError as NotFoundError
    from .errors import RateError as RateError
    from .errors import RateLimitError as RateLimitError
    from .errors import TransportError as TransportError
    from .load import load_pipeline as load_pipeline
    from .load import opportunities_from_pages as opportunities_from_pages
    from .sample import load_sample as load_sample
    from .schema import Pipeline as Pipeline

_MODULES = (
    "attention",
    "calibration",
    "deliver",
    "errors",
    "forecast",
    "fx",
    "history",
    "plot",
    "portfolio",
    "projection",
    "quality",
    "report",
    "risk",
    "sample",
    "scenarios",
    "schema",
    "targets",
)
_NAMES = {
    "CapsuleClient": "api",
    "ApiError": "errors",
    "ArgumentError": "errors",
    "AuthenticationError": "errors",
    "CapsuleError": "errors",
    "CompletenessError": "errors",
    "ConfigError": "errors",
    "DataError": "errors",
    "HistoryError": "errors",
    "MissingExtraError": "errors",
    "NoProjectionError": "errors",
    "NotFoundError": "errors",
    "RateError": "errors",
    "RateLimitError": "errors",
    "TransportError": "errors",
    "Pipeline": "schema",
    "load_pipeline": "load",
    "load_sample": "sample",
    "opportunities_from_pages": "load",
}

__all__ = ["__version__", *_MODULES, *_NAMES]  # noqa: PLE0604 - the two lists above


def __getattr__(name: str) -> Any:  # noqa: ANN401 - modules and names of every kind
    """Import a public module or name when it is first used, so that importing stays fast."""
    if name in _MODULES:
        value: Any = importlib.import_module(f".{name}", __name__)
    elif name in _NAMES:
        value = getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
