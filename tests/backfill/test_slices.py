"""An export in slices: all users, in order, within the limits of a function; the report has the other lines."""

import gzip
import io
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.auth0 import exports
from pipeline.backfill import slices
from pipeline.backfill.slices import Report, cut
from pipeline.changes import WRONG_CLOCK, Export
from tests.strategies import Json, text, user

EXPORT = Export("job_1", "2026-01-15T09:00:00.000000Z")


def lines(*profiles: Json | bytes) -> list[bytes]:
    return [one if isinstance(one, bytes) else text(one).encode() for one in profiles]


def sliced(some: list[bytes], **options: Any) -> tuple[list[list[bytes]], Report]:
    report = Report()
    found = [gzip.decompress(one).splitlines() for one in cut(some, EXPORT, report, **options)]
    return found, report


@given(st.integers(0, 30), st.integers(1, 7), st.integers(200, 2000))
def test_every_user_is_in_one_slice_in_order(number: int, most: int, size: int) -> None:
    profiles = lines(*(user(f"a|{place}") for place in range(number)))
    before = slices.USERS, slices.BYTES
    try:
        slices.USERS, slices.BYTES = most, size  # type: ignore[misc]  # lower than the constants
        found, report = sliced(profiles)
    finally:
        slices.USERS, slices.BYTES = before  # type: ignore[misc]  # the constants
    assert [line for one in found for line in one] == profiles
    assert (report.users, report.slices) == (number, len(found))
    assert report.bytes == sum(len(line) + 1 for line in profiles)
    assert all(len(one) <= most for one in found)
    assert all(len(one) == 1 or sum(len(line) + 1 for line in one) <= size for one in found)


def test_the_largest_slice_fits_an_invocation_even_if_it_cannot_be_compressed() -> None:
    """Lambda takes 6 MB (Lambda quotas, "Invocation payload"); base64 adds a third, and the export its fields."""
    noise = random.Random(1).randbytes(exports.LONGEST - 1000).hex()[: exports.LONGEST - 1000]
    [content] = cut(lines(user("a|1", noise=noise)), EXPORT, Report())
    incompressible = len(gzip.compress(random.Random(1).randbytes(slices.BYTES)))
    assert max(len(content), incompressible) * 4 / 3 + 10_000 < 6 << 20
    assert slices.BYTES >= exports.LONGEST


def test_odd_lines_are_told_by_their_numbers() -> None:
    some = lines(b"{", user("a|1"), b"[]", user("a|2"), b"}")
    found, report = sliced(some)
    assert found == [[some[1], some[3]]]
    assert {reason: (odd.count, odd.first) for reason, odd in report.odd.items()} == {
        "NotJson": (2, [1, 5]), "UnknownShape": (1, [3])
    }  # fmt: skip


def test_only_the_first_of_many_odd_lines_are_listed() -> None:
    _, report = sliced([b"{"] * 5000)
    assert (report.odd["NotJson"].count, len(report.odd["NotJson"].first)) == (5000, slices.LISTED)


def test_the_first_users_only() -> None:
    profiles = lines(*(user(f"a|{place}") for place in range(10)))
    found, report = sliced([b"{", *profiles], limit=4)
    assert found == [profiles[:4]]
    assert (report.users, report.odd["NotJson"].first) == (4, [1])
    assert sliced(profiles, limit=100)[1].users == 10


def test_users_of_one_connection_only() -> None:
    linked = user("auth0|1")
    linked["identities"].append({"connection": "google-oauth2", "provider": "google-oauth2", "user_id": "7"})
    others: list[Any] = [None, {}, [1], "Customers", [[]]]
    odd = [user(f"a|{kind}", identities=value) for kind, value in enumerate(others)]
    without = {key: value for key, value in user("auth0|2").items() if key != "identities"}
    profiles = lines(linked, user("auth0|3"), without, *odd)
    found, report = sliced(profiles, connections=["google-oauth2"])
    assert found == [[profiles[0]]]
    assert report.left_out == 7
    assert sliced(profiles, connections=["Customers"])[1].users == 2


def test_only_keys_that_a_user_has_count_as_exported() -> None:
    some = lines(user("a|1", blocked=True), {"user_id": "a|2", "updated_at": "2026-01-15T09:00:00.000Z"}, b"{")
    _, report = sliced(some)
    assert report.exported(["blocked", "user_metdata", "user_id", ""]) == ("blocked", "user_id")
    assert report.exported([]) == ()


def test_users_dated_ahead_are_noted() -> None:
    assert sliced(lines(user("a|1", "2999-01-01T00:00:00.000Z")))[1].notes == {WRONG_CLOCK: 1}


def test_what_no_store_can_hold_is_replaced_before_it_is_sent() -> None:
    found, _ = sliced(lines(rb'{"user_id":"a|1","updated_at":"2026-01-15T09:00:00.000Z","name":"\u0000"}'))
    assert rb"\ufffd" in found[0][0]


def test_slices_are_the_same_each_time() -> None:
    some = lines(user("a|1"))
    assert list(cut(some, EXPORT, Report())) == list(cut(some, EXPORT, Report()))
    assert list(cut(exports.lines(io.BytesIO(b"")), EXPORT, Report())) == []
