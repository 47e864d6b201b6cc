"""Capsule's HTTP API, both versions: `CapsuleClient`, and the wire records behind it."""

from __future__ import annotations

from ._client import CapsuleClient
from ._client import api_of as api_of
from ._protocol import MAX_CONNECTIONS as MAX_CONNECTIONS
from ._protocol import USER_AGENT as USER_AGENT
from ._protocol import Api as Api
from ._protocol import Deleted as Deleted
from ._protocol import Field as Field
from ._protocol import Page as Page
from ._protocol import Query as Query
from ._protocol import RawColumns as RawColumns
from ._protocol import Record as Record
from ._protocol import field_keys as field_keys
from ._protocol import is_loopback as is_loopback
from ._records import as_utc as as_utc
from ._v2 import definition_of as definition_of

__all__ = [
    "CapsuleClient",
]

__dir__ = __all__.copy  # what completion offers
