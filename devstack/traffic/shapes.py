"""Messages of a megabyte, each of a shape that is hard on readers."""

import json
from collections.abc import Callable, Iterator

from devstack.traffic.envelope import eventbridge

SIZE = 1_000_000
"""Bytes of a value, about as many as SQS and Lambda take in one message."""


def _repeated(piece: str, last: str = "") -> str:
    """Return a list of as many pieces as fit."""
    return "[" + f"{piece}," * (SIZE // (len(piece.encode()) + 1) - 1) + (last or piece) + "]"


VALUES: dict[str, Callable[[], str]] = {
    "empty objects": lambda: _repeated("{}"),
    "empty lists": lambda: _repeated("[]"),
    "zeros": lambda: _repeated("0"),
    "nested lists": lambda: "[" * (SIZE // 2) + "]" * (SIZE // 2),
    "nested objects": lambda: '{"":' * (SIZE // 5) + "0" + "}" * (SIZE // 5),
    "short nests side by side": lambda: _repeated("[" * 400 + "]" * 400),
    "deep nests side by side": lambda: _repeated("[" * 600 + "]" * 600),
    "keys": lambda: "{" + ",".join(f'"{number:x}":0' for number in range(SIZE // 10)) + "}",
    "the same key": lambda: "{" + '"":0,' * (SIZE // 5) + '"":0}',
    "U+0000": lambda: '"' + "\\u0000" * (SIZE // 6) + '"',
    "lone surrogates": lambda: '"' + "\\ud800" * (SIZE // 6) + '"',
    "surrogate pairs": lambda: '"' + "\\ud83d\\ude00" * (SIZE // 12) + '"',
    "backslashes": lambda: '"' + "\\\\" * (SIZE // 2) + '"',
    "escaped quotes and a nest": lambda: "[" * 600 + '"' + '\\"' * (SIZE // 2 - 600) + '"' + "]" * 600,
    "asterisks": lambda: _repeated('"***"'),
    "hashes": lambda: _repeated('{"name":"0123456789abcdef"}'),
    "integers of 4,000 digits": lambda: _repeated("9" * 4000),
    "integers of 5,000 digits": lambda: _repeated("9" * 5000),
    "one integer": lambda: "9" * SIZE,
    "one fraction": lambda: "0." + "1" * SIZE,
    "exponents": lambda: _repeated("1e400000"),
    "per cent": lambda: '"' + "%" * SIZE + '"',
    "text": lambda: '"' + "é" * (SIZE // 2) + '"',
}
"""JSON values by name, each made when it is used."""

_USER = {
    "user_id": "auth0|worst",
    "updated_at": "2026-11-22T07:00:29.692Z",
    "email": "ada@acme.example",
    "name": "Ada",
    "nickname": "ada",
    "identities": [{"provider": "auth0", "user_id": "worst", "connection": "Users", "isSocial": False}],
    "user_metadata": {"x": "@@"},
}


def messages() -> Iterator[tuple[str, str]]:
    """Yield the name and the body of a log for each value in a user's metadata, then of messages that are no events."""
    call = {"request": {"method": "patch", "path": "/api/v2/users/auth0%7Cworst"}}
    details = call | {"response": {"statusCode": 200, "body": _USER}}
    log = {"type": "sapi", "date": "2026-11-22T07:00:29.702Z", "log_id": "1", "details": details}
    body = json.dumps(eventbridge({"log_id": "1", "data": log}, event_id="1", time="2026-11-22T07:00:30Z"))
    for name, value in VALUES.items():
        yield name, body.replace('"@@"', value())
    yield "no event: opened lists", "[" * SIZE
    yield "no event: opened text", '{"source":"' + '\\"' * (SIZE // 2)
    yield "no event: opened text in a nest", "[" * 1000 + '"' + '\\"' * (SIZE // 2)
    yield "no event: closed lists", "[" * 501 + "]" * SIZE
    yield "path", body.replace("auth0%7Cworst", "%7C" * (SIZE // 3))
    yield "path without an end", body.replace("/api/v2/users/auth0%7Cworst", "/api/v2/users/" * (SIZE // 14))
    yield "email", body.replace("ada@acme.example", "*" * SIZE)
