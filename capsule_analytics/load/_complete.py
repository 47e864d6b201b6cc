"""Reading a list so that the result is the account as it stood at one moment of the load.

Records that change while pages are read shift the pages: one deal can appear twice, another
never. So the account is asked what was deleted and what changed, before and after each pass over
the list. A pass between two equal answers is the account, if it saw as many different deals as
the list was long. If the answers differ, what changed is taken from the last of them, and the
windows of all passes must show that nothing unchanged can have slipped between them
(`_paging.covers`). ARCHITECTURE.md has the proof, and what it assumes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from capsule_analytics.api import Page, Query, RawColumns, as_utc
from capsule_analytics.errors import ApiError, CompletenessError, DataError, RateLimitError

from ._frame import Assembler
from ._paging import PagedList, Pass, Window, covers, identities

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capsule_analytics.api import CapsuleClient

    from ._cache import PageCache

MOST_PASSES = 6
OVERLAP = timedelta(minutes=10)
"""How much further back is asked: the server's clocks may disagree by less."""

_GRIDS = (1.0, 0.83, 0.67, 0.91, 0.59, 0.77)  # page sizes of the passes: other boundaries each
_CHANGES_PAGE = 100
_MORE_PASSES = 3  # that show the same, where ids come twice
_ROUNDS = 4  # questions in a row, until two have the same answer
_GRAIN = 1.05  # seconds after which a change must carry another time than the last

Row = tuple["int | None", str, str]
"""A record's id, the time of its change, and a digest of all that it says."""


class Changes(NamedTuple):
    """What the account says has changed since a time.

    Attributes
    ----------
    pages
        The changed records themselves, those that are there.
    rows
        How often each is there.
    gone
        What the account says of each id that it calls deleted or hidden.
    """

    pages: list[RawColumns]
    rows: Counter[Row]
    gone: dict[int, str]

    @property
    def ids(self) -> set[int]:
        """The ids of the changed records."""
        return {key for key, _, _ in self.rows if key is not None}

    @property
    def untimed(self) -> set[int]:
        """The ids of what is called deleted or hidden, but not since when."""
        return {key for key, said in self.gone.items() if " None;" in said}

    def agrees(self, other: Changes) -> bool:
        """Tell whether both say the same."""
        return self.rows == other.rows and self.gone == other.gone

    def saved(self) -> dict[str, Any]:
        """Return what `restored` needs, as JSON can carry it; without the records."""
        return {"rows": list(self.rows.elements()), "gone": list(self.gone.items())}

    @classmethod
    def restored(cls, saved: Any) -> Changes | None:  # noqa: ANN401 - what JSON holds
        """Return what was saved; None if it was saved in another way."""
        try:
            rows = Counter((key, str(stamp), str(digest)) for key, stamp, digest in saved["rows"])
            return cls([], rows, {int(key): str(moment) for key, moment in saved["gone"]})
        except (KeyError, TypeError, ValueError):
            return None


class ChangeFeed:
    """The two questions of an account: what was deleted, and what changed, since a time.

    Parameters
    ----------
    client
        The account.
    since
        The time; it is asked from `OVERLAP` before.
    embed
        As for `load_pipeline`.
    """

    def __init__(self, client: CapsuleClient, since: datetime, embed: Sequence[str] = ()) -> None:
        self._client = client
        self._since = since - OVERLAP
        self._query = Query(changed_since=self._since, embed=tuple(embed))

    def ask(self) -> Changes | None:
        """Ask both, the deleted first; None if the server cannot tell."""
        try:
            deleted = self._client.fetch_deleted(self._since)
            pages, rows = self._changed()
        except (ApiError, DataError) as error:
            if isinstance(error, RateLimitError) or getattr(error, "status", 0) == 401:  # noqa: PLR2004
                raise
            return None
        except _CannotTellError:
            return None
        gone: dict[int, str] = {}
        for how, records in (("deleted", deleted.records), ("hidden", deleted.restricted)):
            raw = {"id": [record["id"] for record in records]}
            ids = identities(raw, typed=self._client.api.TYPED)
            for key, record in zip(ids, records, strict=True):
                if key is not None:  # what has none names no deal that could be here
                    gone[key] = f"{gone.get(key, '')}{how} {record['deleted_at']};"
        return Changes(pages, rows, gone)

    def settle(self, last: Changes | None = None) -> Changes | None:
        """Ask until two answers in a row agree, so that both held at one moment.

        Parameters
        ----------
        last
            The answer before, if there is one.

        Returns
        -------
        The later of the two; None if the server cannot tell.

        Raises
        ------
        CompletenessError
            If the account changes from each question to the next.
        """
        return self._settled(last, self.ask)

    def settle_and_count(self) -> tuple[Changes, int | None] | None:
        """Settle, and ask meanwhile how many deals the account has.

        That is asked after the first of the two answers that agree, and while the second is waited
        for: between the two nothing changes, so it is the number of the account that they tell of.

        Returns
        -------
        The answer, and the number, None from a server that gives none; None if the server cannot
        tell what changed.

        Raises
        ------
        CompletenessError
            As `settle` raises it.
        """
        total: int | None = None
        first = True

        def ask() -> Changes | None:
            nonlocal total, first
            if first or self._client.api_version == "v1":
                first = False
                return self.ask()
            answer: Changes | None
            answer, total = self._client.at_once(lambda call: call(), [self.ask, self._count])
            return answer

        answer = self._settled(None, ask)
        return None if answer is None else (answer, total)

    def _settled(self, last: Changes | None, ask: Callable[[], Changes | None]) -> Changes | None:
        for _ in range(_ROUNDS):
            answer = ask()
            if answer is None or (last is not None and answer.agrees(last)):
                return answer
            last = answer
        raise CompletenessError(
            f"the account changed between each of {_ROUNDS} questions what had changed; try again "
            "when fewer people are working in it"
        )

    def _count(self) -> int | None:
        """Ask how many deals there are."""
        return self._client.fetch_page(Query(), self._client.api.FIRST, 1).total

    def _changed(self) -> tuple[list[RawColumns], Counter[Row]]:
        """Read the changed records; several pages only if each record is there once, or twice."""
        last: Counter[Row] | None = None
        listed = _paged(self._client, partial(self._client.fetch_page, self._query), 1)
        for _ in range(MOST_PASSES):
            pages: list[RawColumns] = []
            rows: Counter[Row] = Counter()

            def take(
                page: RawColumns,
                ids: list[int | None],
                pages: list[RawColumns] = pages,
                rows: Counter[Row] = rows,
            ) -> None:
                if not all(_is_since(stamp, self._since) for stamp in page["updated_at"]):
                    raise _CannotTellError
                pages.append(page)
                rows.update(_rows(page, ids))

            seen = listed.read(_CHANGES_PAGE, take)
            if len(pages) <= 1 or seen.counted or (seen.distinct and rows == last):
                return pages, rows
            last = rows
        if not seen.distinct:  # an id that comes twice, or an order that never holds still
            raise _CannotTellError
        raise CompletenessError("the list of what changed does not hold still")


@dataclass
class Reading:
    """What a complete reading found.

    Attributes
    ----------
    assembler
        Has taken every record.
    began
        The server's time before the first question: that of an earlier load that was taken up.
    gone
        Ids that were read and are not in the account.
    passes
        How often the list was read.
    """

    assembler: Assembler
    began: datetime
    gone: frozenset[int]
    passes: int


def read_completely(
    client: CapsuleClient,
    query: Query,
    *,
    began: datetime,
    workers: int = 1,
    page_size: int = _CHANGES_PAGE,
    progress: Callable[[int], None] = lambda _: None,
    cache: PageCache | None = None,
    resume: bool = False,
) -> Reading:
    """Read a list of an account until it is shown to be the account at one moment.

    Parameters
    ----------
    client
        The account.
    query
        Which list, as `CapsuleClient.resolve` returns it.
    began
        The server's time before the first question.
    workers
        Pages under way at the same time, at most.
    page_size
        Records to ask for in a page.
    progress
        Called with the number of records of each page.
    cache
        Where pages of the first pass are kept, and removed once they are of no use; None keeps
        none.
    resume
        Whether to go on with an earlier load of the same list, as if it still ran.

    Raises
    ------
    CompletenessError
        If that cannot be shown within six passes.
    CapsuleError
        If the account cannot be read.
    """
    done = False
    try:
        before = None
        if cache is not None and resume and (saved := cache.state()) is not None:
            before = Changes.restored(saved.changes)
            began = saved.began if before else began
        feed = ChangeFeed(client, began, query.embed)
        if before is None:
            before = feed.ask()
            if cache is not None:
                cache.begin(began, (before or Changes([], Counter(), {})).saved())
        passes = _Passes(client, query, began, workers, page_size, progress=progress, cache=cache)
        reading = passes.until_shown(feed, before) if before else passes.until_two_agree()
        done = True
    finally:
        if cache is not None:
            cache.close(done=done)
    return reading


@dataclass
class _Evidence:
    """What all passes over a list have shown of single deals.

    Rounds of questions are numbered; a page belongs to the round that was asked before it.
    """

    windows: list[Window] = field(default_factory=list)
    changed: set[int] = field(default_factory=set)
    totals: set[int] = field(default_factory=set)
    is_named: bool = True
    _named: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    _shown: dict[int, int] = field(default_factory=dict)
    _round: int = -1

    def hear(self, answer: Changes) -> None:
        """Take the answers to a round of questions."""
        self._round += 1
        self.changed |= answer.ids
        self.is_named &= all(key is not None for key, _, _ in answer.rows)
        for key, moment in answer.gone.items():
            known, first, _ = self._named.get(key, (None, 0, 0))
            self._named[key] = (moment, first if known == moment else self._round, self._round)

    def see(self, seen: Pass) -> None:
        """Take what a pass saw since the last round."""
        self.windows += seen.windows
        self.is_named &= seen.named
        self.totals |= seen.totals
        self._shown |= dict.fromkeys(seen.ids & self._named.keys(), self._round)

    def is_told(self, answer: Changes) -> bool:
        """Tell whether the fate of everything that was once deleted is known.

        What has left the list of the deleted since was restored, or can be restored no more: only
        a page that was asked for later tells.
        """
        return all(
            key in answer.gone or key in answer.ids or self._shown.get(key, -1) >= last
            for key, (_, _, last) in self._named.items()
        )

    def gone(self, answer: Changes) -> set[int]:
        """Return what is not in the account, of all that was seen or named.

        What changed is there if the account shows it when asked what changed, whatever its list
        of the deleted says. What did not is there if a page shows it that was asked for after its
        deletion had been named: it was restored.
        """
        deleted = {
            key for key, (_, first, _) in self._named.items() if self._shown.get(key, -1) < first
        }
        return (deleted | self.changed) - answer.ids

    def is_covered(self, answer: Changes, first: int) -> bool:
        """Tell whether everything that did not change must have been seen."""
        return self.is_told(answer) and covers(
            self.windows, self.changed | self._named.keys(), first
        )


class _Passes:
    """Passes over one list, and the records that they brought."""

    def __init__(
        self,
        client: CapsuleClient,
        query: Query,
        began: datetime,
        workers: int,
        page_size: int,
        *,
        progress: Callable[[int], None],
        cache: PageCache | None,
    ) -> None:
        self._client = client
        self._query = query
        self._filtered = query != Query(embed=query.embed)
        self._began = began
        self._workers = workers
        self._page_size = page_size
        self._progress = progress
        self._cache = cache
        self._passes = 0
        self._largest = 0  # records in a page, at most, as far as was seen
        self._disagreements = 0

    def _afresh(self, *, every: bool = False) -> None:
        """Forget what was read; `every` also keeps what comes more than once."""
        self._assembler = Assembler(typed=self._client.api.TYPED)
        self._seen: set[int] = set()
        self._every = every

    def until_shown(self, feed: ChangeFeed, before: Changes) -> Reading:
        """Read until a pass went by in quiet, or until nothing can have slipped between pages."""
        evidence = _Evidence()
        evidence.hear(before)
        alike: list[Pass] = []  # the passes before, if they were quiet but could not be counted
        forget = True
        for grid in _GRIDS:
            if forget:
                self._afresh(every=bool(alike))
                evidence.windows.clear()
            seen = self._pass(1.0 if alike else grid, 1 if alike else self._workers)
            evidence.see(seen)
            if (after := feed.ask()) is None:
                return self.until_two_agree()
            evidence.hear(after)
            quiet = before.agrees(after)
            if quiet and seen.consistent and self._is_proven(seen, alike):
                return self._result(after, self._seen - seen.ids)
            before = after
            if quiet:  # then nothing explains what could not be counted: see whether it stays so
                alike, forget = [*alike, seen] if seen.consistent else [], True
                if after.rows:  # no change may hide behind an earlier one of the same second
                    self._client.transport.wait(_GRAIN)
                continue
            forget, alike = self._filtered or self._every or not evidence.is_named, []
            if not forget:
                found = self._if_covered(feed, evidence, after)
                if isinstance(found, Reading):
                    return found
                if found is None:
                    return self.until_two_agree()
                before = found
        raise CompletenessError(
            f"the account changed during each of {self._passes} readings, so a deal may have been "
            "missed; try again when fewer people are working in it"
        )

    def _is_proven(self, seen: Pass, alike: list[Pass]) -> bool:
        """Tell whether a pass between two equal answers is the list as it was then.

        It is if as many different ids were seen as the list was long. Records that cannot be told
        apart cannot be counted so; they must stand where they stood in the pass before. If an id
        comes twice, the server may have no order that holds still: then it takes more passes.
        """
        if not self._is_as_told(seen.totals, seen.length):
            return False
        if seen.counted:
            return True
        enough = 1 if seen.distinct else _MORE_PASSES
        last = alike[-enough:]
        return len(last) == enough and all(map(seen.shows_the_same, last))

    def _if_covered(
        self, feed: ChangeFeed, evidence: _Evidence, last: Changes
    ) -> Reading | Changes | None:
        """Return the result, if nothing can be missing and two answers agree.

        Otherwise the last answer; None if the server cannot tell any more.
        """
        first = self._client.api.FIRST
        for _ in range(_ROUNDS):
            if not evidence.is_covered(last, first):
                return last
            total = self._total(evidence)
            if (answer := feed.ask()) is None:
                return None
            evidence.hear(answer)
            if answer.agrees(last):
                gone = evidence.gone(answer)
                found = len((self._seen | answer.ids) - gone)
                return self._result(answer, gone) if self._is_as_told(total, found) else answer
            last = answer
        return last

    def until_two_agree(self) -> Reading:
        """Read until two passes see the same pages, where the server cannot tell what changed."""
        last: Counter[tuple[Row, ...]] | None = None
        alike = 0
        for _ in _GRIDS:
            self._afresh(every=True)
            found: Counter[tuple[Row, ...]] = Counter()
            seen = self._pass(1.0, self._workers, found)
            alike = alike + 1 if seen.consistent and found == last else 0
            # If an id comes twice, the server may have no order that holds still.
            enough = 1 if seen.distinct else _MORE_PASSES
            if alike >= enough and self._is_as_told(seen.totals, seen.length):
                return self._result(None, set())
            last = found
        raise CompletenessError(
            f"{self._passes} readings of the account never agreed, and the server does not tell "
            "what changed between them"
        )

    def _pass(
        self, grid: float, workers: int, pages: Counter[tuple[Row, ...]] | None = None
    ) -> Pass:
        """Read the list once; count how often each page came, where that is asked for."""

        def take(page: RawColumns, ids: list[int | None]) -> None:
            self._progress(len(ids))
            if pages is not None:
                pages[tuple(_rows(page, ids))] += 1
            fresh = [n for n, key in enumerate(ids) if key is None or key not in self._seen]
            if self._every or len(fresh) == len(ids):
                self._assembler.add(page)
            elif fresh:
                self._assembler.add(_only(page, fresh))
            self._seen.update(key for key in ids if key is not None)

        self._passes += 1
        # No larger than the server's own pages, for only then do other sizes give other boundaries.
        most = min(self._page_size, self._largest or self._page_size)
        seen = _paged(self._client, self._fetch, workers).read(
            max(1, round(most * grid)), take, self._largest
        )
        self._largest = max([self._largest, *(len(window.ids) for window in seen.windows)])
        return seen

    def _fetch(self, position: int, limit: int) -> Page:
        """Fetch a page of the list; in the first pass, through the cache."""
        client, cache = self._client, self._cache
        if cache is None or self._passes > 1:
            return client.fetch_page(self._query, position, limit)
        if (kept := cache.read(position, limit)) is not None:
            return client.api.parse_page(*kept)
        return client.fetch_page(
            self._query, position, limit, keep=partial(cache.write, position, limit)
        )

    def _is_as_told(self, totals: set[int], found: int) -> bool:
        """Compare with the number that the server gives, where it gives one.

        Raises
        ------
        CompletenessError
            If it disagrees again.
        """
        if totals <= {found}:
            return True
        self._disagreements += 1
        if self._disagreements > 1:
            raise CompletenessError(
                f"the server says that there are {max(totals):,} records, but its list has "
                f"{found:,}"
            )
        return False

    def _total(self, evidence: _Evidence) -> set[int]:
        """Ask how many records there are, if the pages told."""
        if not evidence.totals:
            return set()
        page = self._client.fetch_page(self._query, self._client.api.FIRST, 1)
        return set() if page.total is None else {page.total}

    def _result(self, answer: Changes | None, gone: set[int]) -> Reading:
        """End: take what changed from the last answer, whatever the pages showed of it."""
        if answer is not None and not self._filtered:
            for page in answer.pages:
                ids = identities(page, typed=self._client.api.TYPED)
                self._assembler.renew(
                    _only(page, [n for n, key in enumerate(ids) if key is not None])
                )
        return Reading(self._assembler, self._began, frozenset(gone), self._passes)


class _CannotTellError(Exception):
    """The server does not filter by the time of change, or lists what changed in no order."""


def _paged(client: CapsuleClient, fetch: Callable[[int, int], Page], workers: int) -> PagedList:
    api = client.api
    return PagedList(
        fetch,
        first=api.FIRST,
        step=api.step,
        typed=api.TYPED,
        workers=workers,
        interrupt=client.transport.interrupt,
    )


def _only(page: RawColumns, rows: Sequence[int]) -> RawColumns:
    """Return some records of a page."""
    return {name: [values[row] for row in rows] for name, values in page.items()}


def _rows(page: RawColumns, ids: Sequence[int | None]) -> list[Row]:
    """Return what tells whether a record is as it was, for each record of a page."""
    names = sorted(page)
    texts = (
        repr(
            [(name, value) for name, value in zip(names, values, strict=True) if value is not None]
        )
        for values in zip(*(page[name] for name in names), strict=True)
    )
    return [
        (
            key,
            str(stamp),
            hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest(),
        )
        for key, stamp, text in zip(ids, page["updated_at"], texts, strict=True)
    ]


def _is_since(stamp: object, since: datetime) -> bool:
    try:
        moment = as_utc(datetime.fromisoformat(str(stamp)))
    except ValueError:
        return False
    return moment is not None and moment >= since - timedelta(seconds=1)
