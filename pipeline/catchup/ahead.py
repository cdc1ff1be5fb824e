"""Read ahead in a thread, so that items that come during a send make full batches in the next one."""

import threading
from collections.abc import Iterator, Sequence
from queue import Empty, Full, Queue
from typing import Final, Generic, TypeVar

AT_ONCE: Final = 500
"""Items at which a list ends; the last part may exceed it."""
_WAITING: Final = 64
_LOOK: Final = 0.2

T = TypeVar("T")


class Ahead(Generic[T]):
    """Lists of the items that a source has given since the list before; behind the last one, the source's error."""

    def __init__(self, source: Iterator[Sequence[T]]) -> None:
        self._source = source
        self._waiting: Queue[Sequence[T] | None] = Queue(_WAITING)
        self._error: BaseException | None = None
        self._ended = False
        self._abandoned = threading.Event()

    def __iter__(self) -> Iterator[list[T]]:
        threading.Thread(target=self._read, name="events", daemon=True).start()
        try:
            while not self._ended:
                if found := self._take():
                    yield found
            if self._error is not None:
                raise self._error
        finally:
            self._abandoned.set()

    def _read(self) -> None:
        try:
            for some in self._source:
                if not self._put(some):
                    return
        except BaseException as error:  # noqa: BLE001 - raised again in the other thread
            self._error = error
        self._put(None)

    def _put(self, item: Sequence[T] | None) -> bool:
        while not self._abandoned.is_set():
            try:
                self._waiting.put(item, timeout=_LOOK)
            except Full:
                continue
            return True
        return False

    def _take(self) -> list[T]:
        found: list[T] = []
        item = self._waiting.get()
        while item is not None:
            found += item
            if len(found) >= AT_ONCE:
                return found
            try:
                item = self._waiting.get_nowait()
            except Empty:
                return found
        self._ended = True
        return found
