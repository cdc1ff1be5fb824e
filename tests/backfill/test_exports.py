"""Exports are streams: each line becomes a user or an error with its number."""

import gzip
import io
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.auth0 import exports
from pipeline.auth0.errors import DamagedExport
from pipeline.changes import WRONG_CLOCK, Export, Partial
from pipeline.errors import Poison
from tests.strategies import UPDATED_AT, text, user

EXPORT = Export("job_1", "2026-01-15T09:00:00.000000Z")


def read(content: bytes) -> list[exports.Row]:
    return list(exports.changes(exports.lines(io.BytesIO(content)), EXPORT))


def reasons(content: bytes) -> dict[int, str]:
    return {row.number: row.found.reason for row in read(content) if isinstance(row.found, Poison)}


def users(content: bytes) -> list[str]:
    return [row.found.user_id for row in read(content) if isinstance(row.found, Partial)]


def lines_of(*user_ids: str) -> bytes:
    return b"".join(text(user(user_id)).encode() + b"\n" for user_id in user_ids)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_each_line_is_a_user(pack: type[bytes]) -> None:
    content = pack(lines_of("auth0|a", "auth0|B", "samlp|conn|é@acme.example"))
    assert users(content) == ["auth0|a", "auth0|B", "samlp|conn|é@acme.example"]
    assert reasons(content) == {}


def test_an_export_of_several_gzip_members_is_read_to_its_end() -> None:
    assert users(gzip.compress(lines_of("a|1")) + gzip.compress(lines_of("a|2"))) == ["a|1", "a|2"]


def test_the_last_line_needs_no_end_and_empty_ones_are_none() -> None:
    assert users(b"\n\n" + lines_of("a|1") + b" \r\n" + lines_of("a|2").rstrip(b"\n")) == ["a|1", "a|2"]
    assert reasons(b"") == reasons(b"\n \n") == {}


def test_a_byte_order_mark_and_carriage_returns_do_no_harm() -> None:
    assert users(b"\xef\xbb\xbf" + lines_of("a|1", "a|2").replace(b"\n", b"\r\n")) == ["a|1", "a|2"]


def test_odd_lines_are_told_by_number_and_reason() -> None:
    odd = {
        b"{": "NotJson",
        b'{"user_id":"a|1"': "NotJson",
        b"user_id,email": "NotJson",
        b'{"user_id":"\xff"}': "NotJson",
        b"[]": "UnknownShape",
        b'{"user_id":7,"updated_at":"%b"}' % UPDATED_AT.encode(): "UnknownShape",
        b'{"email":"ada@acme.example"}': "BadTimestamp",
        b'{"email":"ada@acme.example","updated_at":"%b"}' % UPDATED_AT.encode(): "NoUserId",
        b'{"user_id":"a|1","updated_at":"yesterday"}': "BadTimestamp",
    }
    content = b"".join(line + b"\n" + lines_of("a|2") for line in odd)
    assert list(reasons(content).values()) == list(odd.values())
    assert list(reasons(content)) == list(range(1, 2 * len(odd), 2))
    assert users(content) == ["a|2"] * len(odd)


def test_too_long_a_line_is_one_line_whatever_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "LONGEST", 400)
    for length in (401, 402, 800, 801, 802, 803, 5000):
        content = lines_of("a|1") + b'{"user_id":"' + b"x" * (length - 13) + b"\n" + lines_of("a|2")
        assert reasons(content) == {2: "LineTooLong"}
        assert users(content) == ["a|1", "a|2"]


def test_a_damaged_file_is_told_with_the_place() -> None:
    whole = gzip.compress(b"".join(lines_of(f"a|{number}") for number in range(5000)))
    for content in (whole[:-3000], whole[:-8], whole[:-4] + b"1234", whole[:2000] + b"\0" * 50 + whole[2050:]):
        with pytest.raises(DamagedExport, match=r"after line [0-9]+"):
            read(content)


def test_a_user_dated_ahead_is_noted() -> None:
    [row] = read(text(user("a|1", "2999-01-01T00:00:00.000Z")).encode())
    assert row.notes == (WRONG_CLOCK,)


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line and line.strip()), max_size=5))
def test_any_bytes_are_users_or_told(odd: list[bytes]) -> None:
    content = b"".join(line + b"\n" for line in odd)
    if content.startswith(b"\x1f\x8b"):
        return
    assert len(read(content)) == sum(bool(line.removeprefix(b"\xef\xbb\xbf").strip()) for line in odd[:1]) + len(
        odd[1:]
    )


class Endless(io.RawIOBase):
    """A line of any length, made while it is read."""

    def __init__(self, size: int) -> None:
        self.left = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the reader passes no other buffer
        size = min(len(buffer), self.left)
        buffer[:size] = b"x" * size
        self.left -= size
        return size


def test_memory_does_not_grow_with_the_export() -> None:
    def rows(number: int) -> Iterator[bytes]:
        for place in range(number):
            yield text(user(f"auth0|{place}")).encode()

    def peak(number: int) -> int:
        tracemalloc.start()
        for _ in exports.changes(rows(number), EXPORT):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(3000) < peak(300) + 50_000
    tracemalloc.start()
    assert sum(1 for _ in exports.changes(exports.lines(io.BufferedReader(Endless(64 << 20))), EXPORT)) == 1
    assert tracemalloc.get_traced_memory()[1] < 4 * exports.LONGEST
    tracemalloc.stop()
