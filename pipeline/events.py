"""The envelopes that EventBridge delivers to the queues, with only the fields that the sync uses.

Two shapes arrive: an Auth0 tenant log (Log Streams, source ``…/auth0.logs``) and a CloudEvent (Event Streams, source
``…/auth0.events``). One pass over the message reads either; the user's own JSON stays bytes (``msgspec.Raw``), because
it goes to Postgres as it is.
"""

import re
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from pipeline import errors

T = TypeVar("T")

NULL = Raw(b"null")

OWN_SOURCES = "auth0-sync/"
"""Prefix of the sources of the project's own events; Auth0's begin with ``aws.partner/``."""

Other = list[Raw] | str | int | float | bool | None
"""Types that a field may have on logs of other types, in place of an object."""


class Request(Struct, frozen=True, gc=False):
    """``details.request`` of a Management API log. Its body is a merge patch, which the sync never applies."""

    method: str = ""
    path: str = ""


class Response(Struct, frozen=True, gc=False):
    """``details.response`` of a Management API log."""

    status: Any = msgspec.field(name="statusCode", default=None)
    body: Raw = Raw(b"null")


class Details(Struct, frozen=True, gc=False):
    """``details`` of a log, of any form. In the last three, logs of some types name their user."""

    request: Request | Other = None
    response: Response | Other = None
    body: Raw = NULL
    parameters: Raw = msgspec.field(name="query", default=NULL)
    enrollment: Raw = NULL


class Data(Struct, frozen=True, gc=False):
    """The tenant log itself (``detail.data``), or the ``data`` of a CloudEvent (``object``)."""

    type: str | None = None
    date: str | None = None
    log_id: str | None = None
    user_id: str | None = None
    description: str | None = None
    details: Details | Other = None
    object: Raw | UnsetType = UNSET


class Detail(Struct, frozen=True, gc=False):
    """``detail``: a log stream's ``{log_id, data}``, or a whole CloudEvent."""

    data: Data
    log_id: str | None = None
    id: str | None = None
    type: str | None = None
    time: str | None = None
    a0purpose: str | None = None
    carried: Raw = NULL
    """In the project's own events about a user in a store: see ``pipeline.changes.Carried``."""


class Envelope(Struct, frozen=True, gc=False):
    """EventBridge's envelope. ``source`` is ``aws.partner/auth0.com/<tenant>-<uuid>/auth0.logs|auth0.events``."""

    source: str
    detail: Detail
    id: str = ""
    time: str = ""
    odd: tuple[str, ...] = ()
    """Names of the fields that ``decode_loosely`` dropped because they held no text."""


class _LooseData(Struct, frozen=True, gc=False):
    type: str | None = None
    date: Raw = NULL
    log_id: Raw = NULL
    user_id: Raw = NULL
    description: Raw = NULL
    details: Raw = NULL
    object: Raw | UnsetType = UNSET


class _LooseDetail(Struct, frozen=True, gc=False):
    data: _LooseData
    log_id: Raw = NULL
    id: Raw = NULL
    type: str | None = None
    time: Raw = NULL
    a0purpose: Raw = NULL


class _LooseEnvelope(Struct, frozen=True, gc=False):
    """An event in which only the fields that tell its kind must have their type."""

    source: str
    detail: _LooseDetail
    id: Raw = NULL
    time: Raw = NULL


class _AnyType(Struct, frozen=True, gc=False):
    type: Any = None


class _AnyDetail(Struct, frozen=True, gc=False):
    data: _AnyType
    type: Any = None


class _AnyEnvelope(Struct, frozen=True, gc=False):
    """The fields of either shape that tell the kind of an event, whatever the others hold."""

    source: str
    detail: _AnyDetail


class _Request(Struct, frozen=True, gc=False):
    channel: Raw = NULL
    ip: Raw = NULL


class _Client(Struct, frozen=True, gc=False):
    id: Raw = NULL


class _Details(Struct, frozen=True, gc=False):
    request: _Request | Other = None


class _Context(Struct, frozen=True, gc=False):
    client: _Client | Other = None
    request: _Request | Other = None


class _Caller(Struct, frozen=True, gc=False):
    user_id: Raw = NULL
    client_id: Raw = NULL
    ip: Raw = NULL
    details: _Details | Other = None
    context: _Context | Other = None


class _CallerDetail(Struct, frozen=True, gc=False):
    data: _Caller


class _CallerEnvelope(Struct, frozen=True, gc=False):
    """The fields about the caller, read in a pass of their own that runs only with history."""

    detail: _CallerDetail


class Caller(NamedTuple):
    """The actor of a change, with client, channel and address; each is the event's JSON text, else ``null``."""

    actor: Raw
    """The user behind the call; calls of machines and events of an Event Stream have none."""
    client_id: Raw
    channel: Raw
    """``api``, or the address of the dashboard."""
    ip: Raw


_envelope = msgspec.json.Decoder(Envelope)
_caller = msgspec.json.Decoder(_CallerEnvelope)
_any = msgspec.json.Decoder(_AnyEnvelope)
_loose = msgspec.json.Decoder(_LooseEnvelope)
_details = msgspec.json.Decoder(Details | Other)

# Escapes that JSON allows and Postgres (both) or UTF-8 (lone surrogates) cannot hold.
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a surrogate pair: one character, storable
    rb"|\\u(?P<bad>0000|[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\."
)


DEEPEST = 500
"""Levels of too deep JSON that `shallow` keeps. msgspec follows 990 levels in Python 3.11, and 10,000
in 3.13, as many as Postgres takes."""

_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)  # also one without an end, so that it takes linear time
_TOKEN = re.compile(rf"{_STRING.pattern}|[\[{{]+|[\]}}]+", re.DOTALL)
_STEP = (-1, 0, 1)
_STEPS = bytes.maketrans(b"[{]}", b"\2\2\0\0")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


def shallow(text: str) -> str:
    """Replace each value nested deeper than ``DEEPEST`` levels by a string of its JSON text.

    The sync must not lose the user for one value: the event may block the person who nested it.
    """
    if text.count("[") + text.count("{") <= DEEPEST or _depth(text) <= DEEPEST:
        return text
    parts: list[str] = []
    depth = done = begin = 0
    for token in _TOKEN.finditer(text):
        at, end = token.span()
        if text[at] in "[{":
            if depth <= DEEPEST < depth + end - at:
                begin = at + DEEPEST - depth
            depth += end - at
        elif text[at] in "]}":
            if depth > DEEPEST >= depth - (end - at):
                closed = at + depth - DEEPEST
                parts += text[done:begin], _quoted(text[begin:closed])
                done = closed
            depth -= end - at
    if depth > DEEPEST:  # no JSON: it has no end
        parts += text[done:begin], _quoted(text[begin:])
        done = len(text)
    return "".join((*parts, text[done:]))


def _depth(text: str) -> int:
    """Return the levels of JSON text; of other text, any number."""
    brackets = _STRING.sub("", text).encode("utf-8", "surrogatepass").translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def _quoted(text: str) -> str:
    """Return JSON text as a JSON string; between its tokens it may have raw white space."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\r", " ").replace("\t", " ")
    return f'"{escaped}"'


def decode_deep(decoder: msgspec.json.Decoder[T], text: bytes) -> T:
    """Decode JSON; if it is nested deeper than the decoder follows, decode what ``shallow`` makes of it.

    Every reader of users' JSON needs it: a user who nests a value must not keep others' from being read.
    """
    try:
        return decoder.decode(text)
    except RecursionError:
        return decoder.decode(shallow(text.decode()))


def storable(text: bytes) -> bytes:
    """Replace U+0000 and lone surrogates in JSON text by U+FFFD; everything else stays byte for byte.

    Postgres holds neither and UTF-8 no lone surrogates; a user with one damaged character is better than no user.
    Returns text without such escapes as it is.
    """
    if not _SUSPECT.search(text):
        return text
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape["bad"] else escape[0], text)


def _repaired(body: str) -> bytes:
    return storable(body.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode())


def decode(body: str) -> Envelope:
    """Read one SQS message body.

    Raises ``NotJson`` or ``UnknownShape``, both *poison*: JSON of another shape is refused as a whole.
    """
    try:
        try:
            return _envelope.decode(body)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            # lone surrogates, escaped or not; or too deep
            return _envelope.decode(_repaired(shallow(body)))
    except msgspec.ValidationError as error:
        raise errors.UnknownShape(str(error)) from None
    except msgspec.DecodeError as error:
        raise errors.NotJson(str(error)) from None


def decode_loosely(body: str) -> Envelope:
    """Read a message that ``decode`` refuses for fields that no change needs, and drop these fields.

    Raises ``UnknownShape`` for any other.
    """
    try:
        found = _loose.decode(_repaired(shallow(body)))
        odd: list[str] = []
        details = _loosely(found.detail.data.details, found.detail.data.type, odd)
        log, detail = found.detail.data, found.detail
        data = Data(
            log.type,
            _text("date", log.date, odd),
            _text("log_id", log.log_id, odd),
            _text("user_id", log.user_id, odd),
            _text("description", log.description, odd),
            details,
            log.object,
        )
        whole = Detail(
            data,
            _text("log_id", detail.log_id, odd),
            _text("id", detail.id, odd),
            detail.type,
            _text("time", detail.time, odd),
            _text("a0purpose", detail.a0purpose, odd),
        )
        event_id, time = _text("id", found.id, odd) or "", _text("time", found.time, odd) or ""
    except msgspec.DecodeError as error:
        raise errors.UnknownShape(str(error)) from None
    return Envelope(found.source, whole, event_id, time, tuple(odd))


def _text(name: str, value: Raw, odd: list[str]) -> str | None:
    """Return a field's text, or add its name to ``odd`` if it is no text."""
    text = bytes(value)
    if text == b"null":
        return None
    if text.startswith(b'"'):
        return msgspec.json.decode(text, type=str)
    odd.append(name)
    return None


def _loosely(value: Raw, kind: str | None, odd: list[str]) -> Details | Other:
    """Read ``details``, which only logs of the Management API need."""
    try:
        found: Details | Other = _details.decode(value)
        return found
    except msgspec.ValidationError:
        if kind == "sapi":
            raise
        odd.append("details")
        return None


def caller(body: str) -> Caller:
    """Return the caller in an event that ``decode`` can read."""
    try:
        data = _caller.decode(body).detail.data
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        data = _caller.decode(_repaired(shallow(body))).detail.data
    client = request = None
    if isinstance(data.details, _Details):
        request = data.details.request
    elif isinstance(data.context, _Context):
        client, request = data.context.client, data.context.request
    client_id = client.id if isinstance(client, _Client) else data.client_id
    channel, ip = (request.channel, request.ip) if isinstance(request, _Request) else (NULL, NULL)
    if bytes(data.ip) != b"null":
        ip = data.ip
    found = Caller(data.user_id, client_id, channel, ip)
    return Caller(*(Raw(storable(bytes(value))) for value in found)) if "\\" in body else found


def event_type(body: str) -> str | None:
    """Return the type of an event whose shape ``decode`` refused: the log's, else the CloudEvent's, else ``None``."""
    try:
        detail = _any.decode(_repaired(shallow(body))).detail
    except msgspec.DecodeError:
        return None
    found = detail.data.type if detail.data.type is not None else detail.type
    return found if isinstance(found, str) else None
