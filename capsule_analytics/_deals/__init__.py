"""What every table of deals stands on: placing, sums that add up, where deals are held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._people import owner_names as owner_names
from ._people import owners_under as owners_under
from ._placing import CALIBRATED as CALIBRATED
from ._placing import FIELD as FIELD
from ._placing import NEEDED as NEEDED
from ._placing import UNDATED as UNDATED
from ._placing import Overdue as Overdue
from ._placing import Period as Period
from ._placing import Placing as Placing
from ._placing import Probability as Probability
from ._placing import chances as chances
from ._placing import close_days as close_days
from ._placing import day_of as day_of
from ._placing import pandas_only as pandas_only
from ._placing import resolve as resolve
from ._sources import add_relation as add_relation
from ._sources import add_up as add_up
from ._sources import frame_of as frame_of
from ._sources import frames as frames
from ._sources import plain as plain
from ._sources import table_of as table_of
from ._sources import tree as tree
from ._sums import MEASURES as MEASURES
from ._sums import REST as REST
from ._sums import add as add
from ._sums import alike as alike
from ._sums import coarser as coarser
from ._sums import combine as combine
from ._sums import split as split
from ._sums import sums as sums
from ._sums import sums_by as sums_by

if TYPE_CHECKING:
    from ._sources import Deals as Deals
    from ._sources import Measure as Measure
    from ._sums import Lazy as Lazy

__all__: list[str] = []
