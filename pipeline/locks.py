"""Keep the commands of one machine apart."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path, busy: Exception | None = None) -> Iterator[None]:
    """Hold the lock that the file is. Where another process holds it, raise ``busy``, or wait if there is none.

    The lock ends with the process, however it ends; the file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError as error:
            raise busy or error from None
        yield
