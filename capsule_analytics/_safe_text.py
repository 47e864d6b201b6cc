"""Words that may leave the process: without the token, and without what drives a terminal.

Every error of the package is built from them, and the commands print nothing else. Where a server
echoes the token it stands in what we say about its answer, whichever way we came to say it; and a
deal's name may hold escape sequences. So both are taken out here, once, and not where they arise.
"""

from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

HIDDEN = "***"

_SHORTEST = 5  # a shorter "token" is none, and would blank out ordinary words
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # all but tab and newline: escape sequences, bells, returns
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of other words round
    "\u2028\u2029\ufeff\ufff9-\ufffb\ud800-\udfff]"  # other line ends, marks, and half characters
)
_secrets: set[str] = set()
_pattern: re.Pattern[str] | None = None


def keep_secret(*secrets: str) -> None:
    """Show these no more, for as long as the process runs.

    Parameters
    ----------
    *secrets
        Tokens. The forms in which they travel or are quoted are hidden too: as HTTP Basic sends
        them, in URLs, in XML, in JSON.
    """
    global _pattern  # noqa: PLW0603 - a process has one output, so it has one list of secrets
    for secret in secrets:
        basic = [base64.b64encode(f"{secret}{end}".encode()).decode() for end in (":x", ":", "")]
        quoted = [quote(secret, safe=""), quote_plus(secret), html.escape(secret)]
        forms = [secret, *basic, *(form.rstrip("=") for form in basic), *quoted]
        forms += [json.dumps(secret)[1:-1], repr(secret)[1:-1]]
        _secrets.update(form for form in forms if len(form) >= _SHORTEST)
    if _secrets:
        longest_first = sorted(_secrets, key=len, reverse=True)
        _pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)


def safe(text: object) -> str:
    r"""Write something as it may be shown.

    Parameters
    ----------
    text
        What is to be said; anything with a ``str``.

    Returns
    -------
    The words, secrets as ``***`` and each control character as its escape. Tabs and line breaks
    stay.

    Examples
    --------
    >>> safe("deal \x1b[2J of Acme")
    'deal \\x1b[2J of Acme'
    """
    words = str(text)
    # Controls first: they may stand between the letters of a token, but then it is none.
    words = _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], words)
    return words if _pattern is None else _pattern.sub(HIDDEN, words)


def one_line(text: object) -> str:
    """Write something as a single line that may be shown, so that it cannot pass for two."""
    return safe(" ".join(str(text).split()))
