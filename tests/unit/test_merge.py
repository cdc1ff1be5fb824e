"""Merging in any order gives each key the value of the newest change that carried it: a differential test."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.changes import Carried, Known, merge

KEYS = ("a", "b", "c", "d", "never present")
VERSIONS = "123456"


class Claim(NamedTuple):
    """A change by the rule: the value of each key that it carries, None for an empty one."""

    version: str
    values: Mapping[str, str | None]
    known: Known[str]
    """The same change as a sink sees it."""


def whole(version: str, profile: Mapping[str, str]) -> Claim:
    return Claim(version, {key: profile.get(key) for key in KEYS}, Known(version, None, profile))


def part(version: str, profile: Mapping[str, str]) -> Claim:
    """Return an event of an Event Stream."""
    return Claim(version, profile, Known(version, Carried(), profile))


def exported(version: str, profile: Mapping[str, str], fields: set[str]) -> Claim:
    """Return a row of an export of these fields."""
    empty = fields - profile.keys()
    parts = Carried.of("", dict.fromkeys(empty, version))
    return Claim(version, {**dict.fromkeys(empty), **profile}, Known(version, parts, profile))


def masked(version: str, profile: Mapping[str, str], hidden: set[str]) -> Claim:
    """Return a log in which some keys are masked."""
    shown = {key: value for key, value in profile.items() if key not in hidden}
    parts = Carried.of(version, dict.fromkeys(hidden, ""))
    values = {key: profile.get(key) for key in KEYS if key not in hidden}
    return Claim(version, values, Known(version, parts, shown))


@st.composite
def claims(draw: st.DrawFn) -> list[Claim]:
    """Return changes of a user; one change may come twice, in two forms."""
    found = []
    for version in draw(st.lists(st.sampled_from(VERSIONS), min_size=1, max_size=6, unique=True)):
        present = draw(st.sets(st.sampled_from(KEYS[:-1])))
        profile = {key: f"{key} of {version}" for key in sorted(present)}
        some = draw(st.sets(st.sampled_from(KEYS)))
        forms = (
            whole(version, profile),
            part(version, profile),
            exported(version, profile, some),
            masked(version, profile, some) if some else whole(version, profile),
        )
        found += draw(st.lists(st.sampled_from(forms), min_size=1, max_size=2))
    return found


def newest(found: Sequence[Claim], key: str) -> tuple[str, str | None]:
    """Return version and value of a key by the rule."""
    return max(((one.version, one.values[key]) for one in found if key in one.values), default=("", None))


def stored(known: Known[str]) -> Known[str]:
    """Return what a store gives back."""
    return known._replace(carried=msgspec.json.decode(msgspec.json.encode(known.carried), type=Carried | None))


@given(claims(), st.data())
def test_each_key_has_the_value_of_the_newest_change_that_carried_it(found: list[Claim], data: st.DataObject) -> None:
    left = [one.known for one in found]
    while len(left) > 1:  # in any order, and in any groups
        one, other = (left.pop(data.draw(st.integers(0, len(left) - 1))) for _ in range(2))
        merged = merge(one, other)
        assert merged.same_as(merge(other, one))
        left.append(stored(merged))
    [merged] = left
    expected = {key: newest(found, key) for key in KEYS}
    assert merged.profile == {key: value for key, (_, value) in expected.items() if value is not None}
    assert {key: merged.since().get(key, merged.whole) for key in KEYS} == {
        key: at for key, (at, _) in expected.items()
    }
    assert merged.version == max(one.version for one in found)
    for claim in found:
        assert merge(merged, claim.known).same_as(merged)


@given(claims(), st.sampled_from(VERSIONS), st.sets(st.sampled_from(KEYS)))
def test_a_whole_user_older_than_the_oldest_part_adds_nothing(
    found: list[Claim], version: str, present: set[str]
) -> None:
    assume(version not in {one.version for one in found})
    merged = reduce(merge, [one.known for one in found])
    oldest = merged.version if merged.carried is None else merged.carried.oldest
    if version < oldest:
        assert merge(merged, whole(version, dict.fromkeys(present, version)).known).same_as(merged)
