"""Text as it leaves for a spreadsheet: what would run, or break a file, is made harmless here."""

from __future__ import annotations

import re

_RETURN = re.compile("\r\n?")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")

# Where a cell could begin: at the start, and at whatever may part cells or lines, since a
# spreadsheet may take a semicolon or a tab for the comma, and then quotes do not hold. What stands
# before a formula without being seen does not keep it from running.
_UNSEEN = '[\\s\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"]*'
_SIGN = (
    "[=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212\u207a\u207b\u207c\u208a-\u208c]"
)
_FORMULA = re.compile(f"(?:^|(?<=[\n\t;\u0085\u2028\u2029]))(?={_UNSEEN}{_SIGN})|^(?=[\t\n])")


def readable(text: str) -> str:
    r"""Write text without what no file of text should hold.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    The text with line feeds for carriage returns, which end a line for some programs and not for
    others, and with the pictures of control characters (``␀``) in place of these; half of a
    surrogate pair is a replacement character.

    Examples
    --------
    >>> readable("a\r\nb\rc\x00")
    'a\nb\nc␀'
    """
    return _CONTROL.sub(_picture, _RETURN.sub("\n", text))


def without_formulas(text: str) -> str:
    r"""Write text so that no spreadsheet runs any of it as a formula.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    `readable` text with an apostrophe before ``=``, ``+``, ``-`` and ``@``, and their fullwidth,
    small, raised and lowered forms, wherever a cell could begin with them: at the start, and after
    a line break, a tab or a semicolon; blanks and invisible characters between do not count. Text
    that begins with a tab or a line break gets one too.

    Examples
    --------
    >>> without_formulas("=1+1"), without_formulas("A\r@1"), without_formulas("a; =1")
    ("'=1+1", "A\n'@1", "a;' =1")
    >>> without_formulas("Phase 2 - 50 % up")
    'Phase 2 - 50 % up'
    """
    # Nearly every text: nothing unseen in it, no formula at its start, no cell after it.
    if text.isprintable() and text[:1].isalnum() and ";" not in text:
        return text
    return _FORMULA.sub("'", readable(text))


def _picture(found: re.Match[str]) -> str:
    """Show a control character: U+2400 and on are their pictures, in the same order."""
    code = ord(found[0])
    if code > 0x7F:  # noqa: PLR2004 - the last of ASCII
        return "\N{REPLACEMENT CHARACTER}"
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else chr(0x2400 + code)  # noqa: PLR2004
