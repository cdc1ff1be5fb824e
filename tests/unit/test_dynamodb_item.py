import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from boto3.dynamodb.types import TypeDeserializer
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline import errors
from pipeline.changes import Snapshot
from pipeline.sinks.dynamodb import MAX_ITEM_BYTES, attribute, item, size
from tests.strategies import Json, deleted, documents, snapshot, tombstone, updated, user

CONTAINERS = 31
"""DynamoDB takes 32 levels, and the scalar at the bottom is one of them."""

LARGEST, SMALLEST = Decimal("9" * 38), Decimal("1E-128")

_python: Callable[[Any], Any] = TypeDeserializer().deserialize


def snapshot_of(profile: Json | bytes) -> Snapshot:
    raw = profile if isinstance(profile, bytes) else json.dumps(profile).encode()
    return Snapshot("a|1", "v", "auth0.logs", "log-1", "2023-07-11T16:30:53.231000Z", msgspec.Raw(raw))


def tagged(value: Any) -> Any:
    """``value`` so that 1, 1.0 and True differ where JSON says so."""
    match value:
        case bool() | None | str():
            return (type(value).__name__, value)
        case int() | Decimal():
            return ("number", Decimal(value))
        case list():
            return [tagged(item) for item in value]
        case _:
            return {key: tagged(item) for key, item in value.items()}


def held(number: Decimal) -> bool:
    """Return whether DynamoDB holds a number exactly (38 digits, 1E-130 to 9.99E+125), and boto3 can read it."""
    if not number:
        return True
    significant = "".join(map(str, number.as_tuple().digits)).strip("0")
    return len(significant) <= 38 and SMALLEST <= number.copy_abs() <= LARGEST


small_numbers = st.one_of(
    st.integers(-(10**37), 10**37),
    st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**20), max_value=10**20),
)
plain_text = st.text(max_size=8)
keyed = documents(plain_text.filter(bool), small_numbers)


# Values


@given(keyed)
def test_storable_value_is_unchanged_after_a_round_trip(value: Any) -> None:
    assert tagged(_python(attribute(value))) == tagged(value)


@given(keyed)
def test_metadata_is_unchanged_after_a_round_trip(value: Any) -> None:
    raw = msgspec.json.Encoder(decimal_format="number").encode({"user_id": "a|1", "user_metadata": {"x": value}})
    assert tagged(_python(item(snapshot_of(raw))["user_metadata"])) == tagged({"x": value})


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,45})(\.[0-9]{1,45})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
@example("0e999")
@example("-0.0")
@example("1e125")
@example("9.9999999999999999999999999999999999999e125")
@example("1e126")
@example("1e-130")
@example("9e-131")
@example("1.5e-130")
@example("1e400")
@example("1" + "0" * 60)
@example("1" * 38)
@example("1" * 39)
def test_any_number_is_held_or_kept_as_text(number: str) -> None:
    stored = item(snapshot_of(f'{{"user_metadata":{{"n":{number}}}}}'.encode()))["user_metadata"]["M"]["n"]
    [(kind, written)] = stored.items()
    assert kind == ("N" if held(Decimal(number)) else "S")
    assert Decimal(written) == Decimal(number)


@pytest.mark.parametrize("number", ["1e99999999999999999999", "-1e-99999999999999999999", "1e1000000000000000000"])
def test_a_number_beyond_decimals_is_kept_as_text(number: str) -> None:
    stored = item(snapshot_of(f'{{"user_metadata":{{"n":{number}}}}}'.encode()))
    assert stored["user_metadata"]["M"]["n"]["S"].replace("E+", "e").replace("E", "e") == number


def test_an_integer_beyond_pythons_limit_is_refused_by_itself() -> None:
    with pytest.raises(errors.Refused):
        item(snapshot_of(b'{"n":' + b"9" * 5000 + b"}"))


@given(st.dictionaries(plain_text, st.integers(), max_size=3))
def test_an_object_with_an_empty_key_is_kept_as_text(value: dict[str, Any]) -> None:
    stored = item(snapshot_of({"user_metadata": {"x": value | {"": 1}}}))["user_metadata"]["M"]["x"]
    assert json.loads(stored["S"]) == value | {"": 1}


def levels(stored: dict[str, Any]) -> int:
    [(kind, content)] = stored.items()
    inner = content.values() if kind == "M" else content if kind == "L" else None
    return 0 if inner is None else 1 + max(map(levels, inner), default=0)


@pytest.mark.parametrize("depth", [1, 2, 30, 31, 32, 33, 100, 500])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")])
def test_value_nested_too_deeply_is_kept_as_text(depth: int, begin: str, end: str) -> None:
    raw = begin * depth + "1.50" + end * depth
    stored = item(snapshot_of(f'{{"user_metadata":{raw}}}'.encode()))["user_metadata"]
    assert levels(stored) == min(depth, CONTAINERS)
    for _ in range(min(depth, CONTAINERS)):
        [content] = stored.values()
        [stored] = content.values() if isinstance(content, dict) else content
    rest = depth - CONTAINERS
    assert stored == ({"S": begin * rest + "1.50" + end * rest} if rest > 0 else {"N": "1.50"})


@pytest.mark.parametrize("depth", range(900, 1100, 3))
def test_any_depth_is_stored_or_refused(depth: int) -> None:
    try:
        stored = item(snapshot_of(b'{"user_metadata":' + b"[" * depth + b"]" * depth + b"}"))
    except errors.Refused:
        return
    assert levels(stored["user_metadata"]) == CONTAINERS


# Items


def test_a_snapshot_as_an_item() -> None:
    profile = user("auth0|ada", user_metadata={"plan": "gold"}, app_metadata={"roles": ["admin"]})
    found = snapshot(updated(profile))
    stored = {name: _python(value) for name, value in item(found).items()}
    documents = {name: profile.pop(name) for name in ("user_metadata", "app_metadata")}
    assert stored == documents | {
        "user_id": "auth0|ada",
        "version": found.version,
        "updated_at": found.updated_at,
        "source": "auth0.logs",
        "event_id": found.event_id,
        "profile": profile,
    }


@pytest.mark.parametrize("absent", [{}, {"user_metadata": None, "app_metadata": None}])
def test_absent_metadata_is_empty(absent: dict[str, Any]) -> None:
    stored = item(snapshot_of(absent))
    assert stored["user_metadata"] == stored["app_metadata"] == stored["profile"] == {"M": {}}


@pytest.mark.parametrize("odd", ["x", 5, [1], True])
def test_metadata_that_is_not_an_object_is_stored_unchanged(odd: Any) -> None:
    assert _python(item(snapshot_of({"user_metadata": odd}))["user_metadata"]) == odd


def test_a_tombstone_as_an_item() -> None:
    gone = tombstone(deleted("auth0|ada", date="2026-01-15T09:00:00.250Z"))
    stored = {name: _python(value) for name, value in item(gone).items()}
    assert set(stored) == {"user_id", "version", "updated_at", "source", "event_id", "deleted_at"}
    assert stored["deleted_at"] == "2026-01-15T09:00:00.250000Z"


@pytest.mark.parametrize("raw", [b"[]", b"nope", b'{"a":"\\ud800"}', b""])
def test_a_profile_that_cannot_be_read_is_refused(raw: bytes) -> None:
    with pytest.raises(errors.Refused):
        item(snapshot_of(raw))


# Size

KILOBYTE = "é" * 512


@pytest.mark.parametrize(
    ("profile", "app", "metadata", "omitted"),
    [
        (10, 10, 10, None),
        (130, 130, 130, None),
        (500, 10, 10, ["profile"]),
        (10, 500, 10, ["profile", "app_metadata"]),
        (10, 10, 500, ["profile", "app_metadata", "user_metadata"]),
        (300, 10, 300, ["profile"]),
        (10, 300, 300, ["profile", "app_metadata"]),
    ],
)
def test_an_item_over_the_limit_is_stored_without_its_largest_parts(
    profile: int, app: int, metadata: int, omitted: list[Any] | None
) -> None:
    stored = item(
        snapshot_of(
            {
                "x": [KILOBYTE] * profile,
                "app_metadata": {"x": [KILOBYTE] * app},
                "user_metadata": {"x": [KILOBYTE] * metadata},
            }
        )
    )
    parts = {"profile", "app_metadata", "user_metadata"}
    assert (_python(stored["omitted"]) if omitted else stored.get("omitted")) == omitted
    assert parts - set(stored) == set(omitted or ())
    assert {"user_id", "version", "updated_at", "source", "event_id"} <= set(stored)
    assert counted(stored) <= MAX_ITEM_BYTES


def counted(stored: dict[str, Any]) -> int:
    """Return the item's bytes by the Developer Guide's rules, counted without the code under test."""

    def value(found: dict[str, Any]) -> int:
        [(kind, content)] = found.items()
        if kind == "S":
            return len(content.encode())
        if kind == "N":
            return (len(Decimal(content).as_tuple().digits) + 1) // 2 + 1
        if kind in "ML":
            pairs = content.items() if kind == "M" else (("", inner) for inner in content)
            return 3 + sum(1 + len(key.encode()) + value(inner) for key, inner in pairs)
        return 1

    return sum(len(name.encode()) + value(found) for name, found in stored.items())


@pytest.mark.parametrize("over", range(-1200, 200, 100))
def test_no_item_is_over_the_limit(over: int) -> None:
    stored = item(snapshot_of({"user_metadata": {"notes": "x" * (MAX_ITEM_BYTES + over)}}))
    assert counted(stored) <= MAX_ITEM_BYTES
    assert over > -1000 or "omitted" not in stored


@given(keyed)
def test_a_size_is_never_below_the_services(value: Any) -> None:
    stored = attribute(value)
    assert size(stored) >= counted({"": stored})
