"""Read the file of an export job as a stream that survives broken connections and links that have expired.

Auth0 keeps the file in S3, and gives out signed links to it. S3 refuses a request with both a signature and an
``Authorization`` header ("Only one auth mechanism allowed"), so this client has no token.
"""

import io
import time
from collections.abc import Callable
from typing import Final

import urllib3

from pipeline.auth0.errors import NotDownloaded
from pipeline.settings import is_safe

TRIES: Final = 5
"""Tries in a row that give no byte, after which a read fails."""
PAUSE: Final = 1.0
"""Seconds before the second try; doubled before each further one."""
_TIMEOUT: Final = urllib3.Timeout(connect=10, read=60)


class ExportFile(io.RawIOBase):
    """The bytes of a file. After a broken connection it requests the remaining range, by a new link."""

    def __init__(self, location: Callable[[], str], *, sleep: Callable[[float], None] = time.sleep) -> None:
        """``location`` returns a new link, and may raise its own errors, which reads then raise."""
        super().__init__()
        self._location, self._sleep = location, sleep
        self._pool = urllib3.PoolManager(retries=False, headers={"User-Agent": "auth0-sync"})
        self._response: urllib3.BaseHTTPResponse | None = None
        self._etag = ""
        self.place = 0
        """Number of bytes read so far."""
        self.size: int | None = None
        """Number of bytes of the file; None before the first answer, and if S3 does not tell it."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader passes no other buffer
        """Read into a buffer. Raises NotDownloaded."""
        why = ""
        for attempt in range(TRIES):
            if attempt:
                self._sleep(PAUSE * 2 ** (attempt - 1))
            try:
                response = self._response or self._open()
                data = response.read(len(buffer), decode_content=False)
            except urllib3.exceptions.HTTPError as error:
                why = type(error).__name__  # its text has the link
            except _Answered as error:
                why = str(error)
            else:
                if data or not buffer or self.place == self.size or self.size is None:
                    buffer[: len(data)] = data
                    self.place += len(data)
                    return len(data)
                why = "it ended early"
            self._drop()
        raise NotDownloaded(
            f"The file of the export could not be read beyond byte {self.place:,} ({why}). Run this again; it goes on."
        )

    def close(self) -> None:
        """Close the connection."""
        self._drop()
        self._pool.clear()
        super().close()

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def _open(self) -> urllib3.BaseHTTPResponse:
        """Request the rest of the file. Raises NotDownloaded where another try cannot help."""
        headers = dict(self._pool.headers)
        if self.place:
            headers |= {"Range": f"bytes={self.place}-"} | ({"If-Match": self._etag} if self._etag else {})
        url = self._location()
        if not is_safe(url):
            raise NotDownloaded("Auth0 names a file that is not on HTTPS, so nothing was read.")
        response = self._pool.request(
            "GET", url, headers=headers, timeout=_TIMEOUT, redirect=False, preload_content=False, decode_content=False
        )
        if response.status == 412:
            response.close()
            raise NotDownloaded("The file of the export has changed while it was read. Run this again with --new.")
        if response.status != (206 if self.place else 200):
            response.close()
            raise _Answered(f"status {response.status}")
        if not self.place:
            self._etag = response.headers.get("ETag", "")
            length = response.headers.get("Content-Length", "")
            self.size = int(length) if length.isdecimal() else None
        self._response = response
        return response


class _Answered(Exception):
    """S3 answered with a status that another try may change."""
