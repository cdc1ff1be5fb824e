import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from pipeline import errors
from pipeline.events import DEEPEST, Details, Envelope, Response, decode, event_type, shallow, storable
from tests.bad_input import WRONG_SHAPE
from tests.strategies import documents, log, nasty_text, streamed, text, updated, user

PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def repaired(value: Any) -> Any:
    """``value`` as every store can hold it, by Python's own means."""
    match value:
        case str():
            joined = PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), value)
            return re.sub("[\0\ud800-\udfff]", "\ufffd", joined)
        case list():
            return [repaired(item) for item in value]
        case dict():
            return {repaired(key): repaired(item) for key, item in value.items()}
        case _:
            return value


@given(documents())
def test_storable_text_parses_to_the_value_with_bad_characters_replaced(value: Any) -> None:
    assert json.loads(storable(json.dumps(value).encode())) == repaired(value)


@given(st.text(), documents())
def test_storable_leaves_everything_else_byte_for_byte(string: str, value: Any) -> None:
    value = [string, repaired(value)]
    for escaped in (True, False):
        given = json.dumps(value, ensure_ascii=escaped).encode()
        if "\0" not in string:
            assert storable(given) == given


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (rb'"\u0000"', rb'"\ufffd"'),
        (rb'"\\u0000"', rb'"\\u0000"'),
        (rb'"\\\u0000"', rb'"\\\ufffd"'),
        (rb'"\\\\u0000\\\\\ud800"', rb'"\\\\u0000\\\\\ufffd"'),
        (rb'"\uD83D\uDE00"', rb'"\uD83D\uDE00"'),
        (rb'"\uDE00\uD83D"', rb'"\ufffd\ufffd"'),
        (rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"'),
        (rb'"\ud83d\\ude00"', rb'"\ufffd\\ude00"'),
        (rb'"\ud7ff\ue000\u0001\u00000"', rb'"\ud7ff\ue000\u0001\ufffd0"'),
        (rb'{"\u0000": 1.50,  "b":1e400}', rb'{"\ufffd": 1.50,  "b":1e400}'),
    ],
)
def test_storable_examples(given: bytes, kept: bytes) -> None:
    assert storable(given) == kept


def body_of(envelope: Envelope) -> Raw:
    """Return the body of the answer in a log of a call."""
    details = envelope.detail.data.details
    assert isinstance(details, Details)
    assert isinstance(details.response, Response)
    return details.response.body


@given(nasty_text, st.booleans())
@example("\ud83d" + "\ude00", False)
def test_a_message_with_any_text_is_read(string: str, escaped: bool) -> None:
    event = log("sapi", description=string, user_id="x", details={"response": {"statusCode": 1, "body": [string]}})
    envelope = decode(json.dumps(event, ensure_ascii=escaped))
    assert repaired(envelope.detail.data.description) == repaired(string)
    assert json.loads(storable(bytes(body_of(envelope)))) == [repaired(string)]


def test_users_json_is_kept_byte_for_byte() -> None:
    body = text(updated(user(n="@@"))).replace('"@@"', '1.50 ,"m" : 1e400, "m":\t12345678901234567890123456789.0')
    assert b'"n":1.50 ,"m" : 1e400, "m":\t12345678901234567890123456789.0' in bytes(body_of(decode(body)))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", errors.NotJson),
        ("nope", errors.NotJson),
        (text(log()) + "x", errors.NotJson),
        ("null", errors.UnknownShape),
        ("{}", errors.UnknownShape),
        (text(WRONG_SHAPE), errors.UnknownShape),
        (text(log() | {"source": 5}), errors.UnknownShape),
        (text(log() | {"detail": [log()["detail"]]}), errors.UnknownShape),
        ("[" * 100_000, errors.UnknownShape),
        ('{"source":' + "[" * 100_000, errors.UnknownShape),
        ('{"x":' + "[" * 100_000, errors.NotJson),
    ],
)
def test_event_of_another_shape_is_refused(body: str, reason: type[errors.Poison]) -> None:
    with pytest.raises(errors.Poison) as raised:
        decode(body)
    assert type(raised.value) is reason


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (text(log("fp", date=5)), "fp"),
        (text(streamed("group.created", log_id=[])), "group.created"),
        (text(log(type=["fp"])), None),
        ("nope", None),
        ("[]", None),
        (text(WRONG_SHAPE), None),
        ('{"source":"s","detail":{"data":{"type":"fp","x":' + "[" * 100_000, None),
        (text(log("fp", date="\ud800")), "fp"),
    ],
)
def test_type_is_read_from_an_event_of_any_shape(body: str, kind: str | None) -> None:
    assert event_type(body) == kind


PIECE = '{"]\\"[\\\\": "}", "": '
"""Opens a level, beside brackets that are text."""


@pytest.mark.parametrize("levels", [DEEPEST - 1, DEEPEST, DEEPEST + 1, DEEPEST + 2, 5000])
@pytest.mark.parametrize(("opened", "inner", "closed"), [("[", "", "]"), ("[ ", "", " ]"), (PIECE, "1", "}")])
def test_too_deep_value_becomes_its_text(levels: int, opened: str, inner: str, closed: str) -> None:
    def nest(number: int, value: str) -> str:
        return opened * number + value + closed * number

    deep = nest(levels, inner)
    if levels <= DEEPEST:
        assert shallow(deep) is deep
        return
    assert shallow(deep) == nest(DEEPEST, json.dumps(nest(levels - DEEPEST, inner)))
    beside = f'[{deep}, "[[", {{}}, {deep}]'
    left = nest(DEEPEST - 1, json.dumps(nest(levels - DEEPEST + 1, inner)))
    assert shallow(beside) == f'[{left}, "[[", {{}}, {left}]'
    assert shallow(deep + closed) == shallow(deep) + closed
    assert shallow(deep[: -len(closed) * (levels - 2)]).startswith(nest(1, "")[: len(opened)])


BAD = ("[" * 9000, "]" * 9000, "[{" * 9000, '"[[' * 9000, '"' + '\\"' * 9000, "[" * 9000 + '"')


@pytest.mark.parametrize("bad", BAD)
def test_text_that_is_no_json_is_refused(bad: str) -> None:
    for body in (bad, shallow(bad)):
        with pytest.raises(errors.Poison):
            decode(body)
