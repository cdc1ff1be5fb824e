"""Pure: a parser of server-sent events, by the HTML standard's section "Interpreting an event stream"."""

import codecs
import re
from typing import Final, NamedTuple

_END: Final = re.compile("\r\n|\n|\r")


class Message(NamedTuple):
    """A message of a stream."""

    event: str
    data: str
    id: str
    """Id of this message, or else of the last one that had an id."""


class Parser:
    """The parser of one connection. It drops a message that the end of the connection cuts off."""

    def __init__(self) -> None:
        self.retry: float | None = None
        """Seconds to wait before the next connection, if the server has named them."""
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line: list[str] = []
        self._after_return = False
        self._event = self._id = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Message]:
        """Return the messages that are complete after ``chunk``."""
        text = self._decoder.decode(chunk)
        if not text:
            return []
        if self._after_return:  # the end of the line before was perhaps cut between its two characters
            text = text.removeprefix("\n")
        self._after_return = text.endswith("\r")
        first, *others = _END.split(text)
        self._line.append(first)
        found = []
        for begin in others:
            if message := self._read("".join(self._line)):
                found.append(message)
            self._line = [begin]
        return found

    def _read(self, line: str) -> Message | None:
        """Read a line; return the message that it ends, if it does."""
        if not line:
            message = Message(self._event or "message", "\n".join(self._data), self._id) if self._data else None
            self._event, self._data = "", []
            return message
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:  # a comment has no name
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry = int(value[:9]) / 1000
        return None
