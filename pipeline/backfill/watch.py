"""Follow the load of an export by the results of its slices."""

import re
import time
from collections.abc import Callable, Iterator, Sequence

from pipeline.backfill.load import Loaded
from pipeline.backfill.objects import Cut, Exports, results
from pipeline.progress import duration

_RESULT = re.compile(r"([0-9]{6,})\.json", re.ASCII)


class Watch:
    """The results of an export's slices in each store, as far as they are known."""

    def __init__(
        self, exports: Exports, cut: Cut, stores: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.cut = cut
        self.loaded = dict.fromkeys(stores, Loaded())
        self.refused: dict[str, dict[str, str]] = {store: {} for store in stores}
        """By store, the reason by pseudonym of each user that the store can never take."""
        self.exports, self._clock = exports, clock
        self._known: dict[str, set[int]] = {store: set() for store in stores}
        self._began: tuple[float, int] | None = None

    def look(self) -> None:
        """Read the results that have come since the last look."""
        for store, known in self._known.items():
            prefix = results(self.cut.export.export_id, store)
            for key in self._keys(prefix):
                name = _RESULT.fullmatch(key.removeprefix(prefix))
                if name and int(name[1]) not in known:
                    result = self.exports.result(key)
                    known.add(int(name[1]))
                    self.loaded[store] += result.loaded
                    self.refused[store] |= result.refused
        if self._began is None:  # the rate is of this run, without the results of earlier ones
            self._began = self._clock(), self._rows

    def _keys(self, prefix: str) -> Iterator[str]:
        pages = self.exports.s3.get_paginator("list_objects_v2").paginate(Bucket=self.exports.bucket, Prefix=prefix)
        return (one["Key"] for page in pages for one in page.get("Contents", []))

    def missing(self, store: str) -> list[int]:
        """Return the numbers of the slices that have no result in a store."""
        return [number for number in range(1, self.cut.slices + 1) if number not in self._known[store]]

    @property
    def done(self) -> bool:
        """Return whether each slice has a result in each store."""
        return not any(self.missing(store) for store in self._known)

    @property
    def _rows(self) -> int:
        return sum(loaded.rows for loaded in self.loaded.values())

    def progress(self) -> str:
        """Return the users that each store has, the rate, and the time that the rest will take."""
        parts = [f"{store} {loaded.rows:,}" for store, loaded in self.loaded.items()]
        text = f"{', '.join(parts)} of {self.cut.users:,}"
        began, before = self._began or (self._clock(), 0)
        rate = (self._rows - before) / max(self._clock() - began, 0.001)
        if rate < 1:
            return text
        left = (self.cut.users * len(self.loaded) - self._rows) / rate
        return f"{text}, {rate:,.0f}/s" + (f", {duration(left)} left" if left > 0 else "")
