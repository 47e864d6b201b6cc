"""How API v2 of the sandbox reads a request and writes an answer, whatever it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import orjson
from flask import Response, request
from werkzeug.exceptions import BadRequest, UnprocessableEntity

from .records import Problem, Record, ValidationError, stamp

if TYPE_CHECKING:
    from .quirks import Quirks

DEFAULT_PER_PAGE = 50
MOST_PER_PAGE = 100
MOST_IDS = 10
# Pages beyond this are refused like page 0: no account has them, and longer numbers are a trap.
LAST_PAGE = 2**31 - 1


class Cut(NamedTuple):
    """A page of a list.

    Attributes
    ----------
    rows
        What stands on the page.
    number
        The number of the page, from 1.
    more
        Whether there is another.
    total
        How many the whole list has.
    """

    rows: Sequence[Record]
    number: int
    more: bool
    total: int


def answer(content: object, status: int = 200) -> Response:
    """Build an answer in JSON.

    Parameters
    ----------
    content
        What JSON can hold.
    status
        The HTTP status.
    """
    return Response(orjson.dumps(content), status, content_type="application/json;charset=UTF-8")


def refusal(status: int, message: str, problems: Sequence[Problem] = ()) -> Response:
    """Build the answer to a request that is refused.

    Parameters
    ----------
    status
        The HTTP status.
    message
        What was wrong with the request.
    problems
        What was wrong with each field, if anything was.
    """
    content: dict[str, Any] = {"message": message}
    if problems:
        content["errors"] = [
            {"message": problem.message, "resource": "opportunity", "field": problem.field}
            for problem in problems
        ]
    return answer(content, status)


def cut(rows: Sequence[Record], page_limit: int, quirks: Quirks) -> Cut:
    """Take the page of a list that the request asks for.

    Parameters
    ----------
    rows
        The whole list.
    page_limit
        The most records in one answer.
    quirks
        How a page that cannot be is refused.

    Raises
    ------
    HTTPException
        The request asks for a page that cannot be.
    """
    number = _within("page", 1, LAST_PAGE, quirks)
    wanted = _within("perPage", DEFAULT_PER_PAGE, MOST_PER_PAGE, quirks)
    size = min(wanted, page_limit, MOST_PER_PAGE)
    end = number * size
    return Cut(rows[end - size : end], number, end < len(rows), len(rows))


def paged(response: Response, page: Cut, quirks: Quirks) -> Response:
    """Add the headers that say where the pages beside this one are.

    Parameters
    ----------
    response
        The answer with the page.
    page
        The page.
    quirks
        Which headers there are.
    """
    if quirks.has_more:
        response.headers["X-Pagination-Has-More"] = "true" if page.more else "false"
    beside = {"next": page.number + 1} if page.more else {}
    if quirks.link_prev and page.number > 1:
        beside["prev"] = page.number - 1
    if beside and quirks.link:
        links = []
        for relation, number in beside.items():
            query = urlencode({**request.args, "page": number})
            links.append(f'<{request.base_url}?{query}>; rel="{relation}"')
        response.headers["Link"] = ", ".join(links)
    return response


def listed(name: str, rows: Sequence[Record], page_limit: int, quirks: Quirks) -> Response:
    """Answer a page of a plain list.

    Parameters
    ----------
    name
        The key of the list.
    rows
        The whole list.
    page_limit
        The most records in one answer.
    quirks
        How pages are told.
    """
    page = cut(rows, page_limit, quirks)
    content: dict[str, Any] = {name: page.rows}
    if quirks.total_count and "meta" in embedded():
        content["meta"] = {"totalCount": page.total}
    return paged(answer(content), page, quirks)


def embedded() -> set[str]:
    """Read what the request wants to see besides."""
    return set(request.args.get("embed", "").split(","))


def some_ids(numbers: str) -> list[int]:
    """Read the ids of a path, joined by commas.

    Parameters
    ----------
    numbers
        The ids as they stand in the path.

    Raises
    ------
    HTTPException
        There are more than ten.
    """
    found = numbers.split(",")
    if len(found) > MOST_IDS:
        raise UnprocessableEntity("Too many ids")
    return [int(number) for number in found]


def since() -> str | None:
    """Read the time from which changes are asked for, as the account writes times.

    Raises
    ------
    ValidationError
        It is none.
    """
    text = request.args.get("since")
    if text is None:
        return None
    # A "+" that was not escaped arrives as a blank.
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        return stamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError) as error:
        problem = Problem("since", "since must be a date or time in ISO 8601")
        raise ValidationError([problem]) from error


def body(name: str) -> Mapping[str, Any]:
    """Read the object that the request carries under a name.

    Parameters
    ----------
    name
        The name.

    Raises
    ------
    HTTPException
        The request is not JSON.
    ValidationError
        There is no such object.
    """
    try:
        content = orjson.loads(request.get_data())
    except orjson.JSONDecodeError as error:
        raise BadRequest("The request body is not JSON") from error
    inner = content.get(name) if isinstance(content, dict) else None
    if not isinstance(inner, Mapping):
        raise ValidationError([Problem(name, f"{name} is required")])
    return inner


def natural(text: str, most: int) -> int | None:
    """Read a whole number; None where it is none, or longer than it can be.

    Parameters
    ----------
    text
        The digits.
    most
        The largest number.
    """
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(most)):
        return None
    number = int(text)
    return number if number <= most else None


def _within(name: str, default: int, most: int, quirks: Quirks) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    number = natural(text, most)
    if not number:
        message = f"{name} must be between 1 and {most}"
        if quirks.page_out_of_range == 400:  # noqa: PLR2004
            raise BadRequest(message)
        raise ValidationError([Problem(name, message)])
    return number
