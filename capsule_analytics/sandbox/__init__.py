"""A local Capsule CRM: a real HTTP server over one account, speaking both API versions.

The sandbox serves an account held in memory over API v1 (XML, under ``/api``) and API v2 (JSON,
under ``/api/v2``) on a loopback address. It is stateful: what one version writes, the other
reads. It can be told to misbehave as networks and servers do, see
:mod:`capsule_analytics.sandbox.faults`, and to answer otherwise where Capsule's own answer is not
known, see :mod:`capsule_analytics.sandbox.quirks`.

Examples
--------
>>> import requests
>>> from . import Sandbox
>>> account = {
...     "milestones": [{"id": 1, "name": "Bid", "probability": 40, "complete": False}],
...     "opportunities": [
...         {"id": 7, "name": "Shop", "milestone": {"id": 1, "name": "Bid"}, "probability": 40}
...     ],
... }
>>> with Sandbox(account, token="secret") as sandbox:
...     answer = requests.get(
...         sandbox.url + "/api/v2/opportunities/7",
...         headers={"Authorization": "Bearer " + sandbox.token},
...         timeout=5,
...     )
>>> answer.json()["opportunity"]["name"]
'Shop'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .account import Account
    from .faults import Asked, Fault, Hook
    from .quirks import Quirks
    from .server import Sandbox

__all__ = ["Account", "Asked", "Fault", "Hook", "Quirks", "Sandbox"]

__dir__ = __all__.copy  # what completion offers


def __getattr__(name: str) -> object:
    """Import the public names when they are first used: the command line starts without Flask."""
    if name == "Account":
        from .account import Account  # noqa: PLC0415

        return Account
    if name in {"Asked", "Fault", "Hook"}:
        from . import faults  # noqa: PLC0415

        return getattr(faults, name)
    if name == "Quirks":
        from .quirks import Quirks  # noqa: PLC0415

        return Quirks
    if name == "Sandbox":
        from .server import Sandbox  # noqa: PLC0415

        return Sandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
