"""Lines about a person are found however JSON, a URL or base64 writes them, and lines about others are not."""

import base64
import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.erasure.person import SHORTEST, Person

ANN = Person("auth0|5f7c8ec7c33c6c004bbafe82", ["ann@example.com", "+4915112345678", "Zoë.Grüner"])
BY = ANN.identifiers


def line(value: Any, **options: Any) -> bytes:
    return json.dumps({"detail": {"data": value}}, **options).encode()


@pytest.mark.parametrize("identifier", BY)
def test_every_way_to_write_it(identifier: str) -> None:
    for value in (
        identifier,
        {identifier: 1},
        [f"/api/v2/users/{identifier}/roles"],
        {"path": f"/api/v2/users/{quote(identifier, safe='')}"},
        {"path": f"/api/v2/users/{quote(identifier, safe='').lower()}/x"},
        {"url": f"https://x.example/?to={quote(quote(f'/users/{quote(identifier)}', safe=''), safe='')}"},
        {"body": json.dumps({"user": identifier})},
        {"body": json.dumps({"body": json.dumps([identifier])})},
        f"to {identifier}, as asked.",
        f"<{identifier.upper()}>",
        f"mailto:{identifier}",
    ):
        for only_ascii in (True, False):
            written = line(value, ensure_ascii=only_ascii)
            assert ANN.concerns(written), written
            assert re.search(ANN.pattern, written.decode()), written
            assert ANN.concerns(written.replace(b"/", b"\\/"))
    everything = "".join(f"\\u{ord(one):04X}" for one in identifier)
    assert ANN.concerns(b'{"a":"' + everything.encode() + b'"}')
    assert ANN.concerns(f'not JSON {{ "{identifier}" '.encode())


@pytest.mark.parametrize(
    "other",
    [
        "auth0|5f7c8ec7c33c6c004bbafe821", "xauth0|5f7c8ec7c33c6c004bbafe82", "auth0|5f7c8ec7c33c6c004bbafe82|x",
        "google-oauth2|5f7c8ec7c33c6c004bbafe82", "joann@example.com", "ann@example.com.au", "ann@example.community",
        "jo.ann@example.com", "jo+ann@example.com", "ann@example.com-x", "+49151123456789", "49151123456780",
        "Zoë.Grünern", "ann@example,com",
    ],
)  # fmt: skip
def test_another_who_is_nearly_the_same(other: str) -> None:
    for value in (other, {"path": f"/api/v2/users/{quote(other, safe='')}"}, {"body": json.dumps([other])}):
        assert not ANN.concerns(line(value)), value


def test_an_event_in_base64() -> None:
    def failed(event: bytes) -> bytes:
        return json.dumps({"errorCode": "x", "rawData": base64.b64encode(event).decode()}).encode()

    assert ANN.concerns_failed(failed(line("ann@example.com")))
    assert ANN.may_concern_failed(failed(line("joann@example.com")))
    assert not ANN.concerns_failed(failed(line("joann@example.com")))
    assert not ANN.concerns_failed(failed(line("bob@example.com")))
    for broken in (b"", b"[]", b'{"rawData": 1}', b'{"rawData": "%"}', b"\xff"):
        assert not ANN.concerns_failed(broken)


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda deeper: st.lists(deeper) | st.dictionaries(st.text(), deeper)
    )
)
@settings(max_examples=50)
def test_no_line_of_others_concerns(value: Any) -> None:
    if not any(one.lower() in json.dumps(value, ensure_ascii=False).lower() for one in BY):
        assert not ANN.concerns(line(value))


def test_a_line_that_is_nested_too_deep_is_read_as_text() -> None:
    deep = b"[" * 100_000 + b'"ann@example.com"' + b"]" * 100_000
    assert ANN.concerns(deep)


@pytest.mark.parametrize(
    ("user_id", "by_itself"),
    [
        ("auth0|5f7c8ec7c33c6c004bbafe82", True), ("google-oauth2|101234567890123456789", True),
        ("samlp|acme|ann@example.com", True), ("samlp|acme|administrator", False), ("sms|4beb51b5960", False),
    ],
)  # fmt: skip
def test_an_id_without_its_provider_counts_only_if_nobody_else_has_it(user_id: str, by_itself: bool) -> None:
    inner = user_id.rpartition("|")[2]
    assert Person(user_id).concerns(line({"identities": [{"user_id": inner}]})) is by_itself


@pytest.mark.parametrize("short", ["", "a", "ann", "x" * (SHORTEST - 1)])
def test_what_many_share_is_no_identifier(short: str) -> None:
    with pytest.raises(ValueError, match="too short"):
        Person("auth0|1", [short])
