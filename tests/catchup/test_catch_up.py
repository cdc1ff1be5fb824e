"""Past events go into the queues; the next run begins where the last one ended, and loses nothing."""

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.traffic import sqs_record
from pipeline.auth0.events import Received
from pipeline.batch import collect
from pipeline.catchup import Report, body, catch_up
from pipeline.catchup.ahead import AT_ONCE, Ahead
from pipeline.catchup.place import Keeper, Kept, Place
from pipeline.changes import read
from pipeline.delivery import Sent
from pipeline.delivery.consumers import Consumer
from pipeline.delivery.errors import NotStored, QueueDown
from pipeline.errors import Auth0SyncError, CommandError
from tests.strategies import streamed, text, user

START = datetime(2026, 11, 25, 10, tzinfo=UTC)
DOMAIN = "acme.eu.auth0.com"


def received(number: int) -> Received:
    event = {"id": f"evt_{number}", "type": "user.updated", "data": {"object": user(f"auth0|{number}")}}
    moment = (START + timedelta(seconds=number)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return Received(str(number), json.dumps(event).encode(), "user.updated", moment)


class Target:
    """A queue that takes the events before ``begin``, and fails for the others."""

    def __init__(self, fails: Auth0SyncError | BaseException | None = None, begin: int = 0) -> None:
        self.taken: list[int] = []
        self._fails, self._begin = fails, begin

    def send(self, bodies: Sequence[str]) -> Sent:
        numbers = [int(json.loads(one)["detail"]["id"][4:]) for one in bodies]
        failed: dict[int, Auth0SyncError] = {}
        for place, number in enumerate(numbers):
            if self._fails is None or number < self._begin:
                self.taken.append(number)
            elif isinstance(self._fails, Auth0SyncError):
                failed[place] = self._fails
            else:
                raise self._fails
        return Sent(failed)


def run(kept: Kept, source: Iterator[Sequence[Received]], since: datetime = START, **targets: Target) -> Report:
    report = Report()
    known = kept.read()
    place = known if known and known.goes_on(DOMAIN, since) else Place(DOMAIN, since, "", since)
    keeper = Keeper(kept, place)
    catch_up(source, {Consumer(name): target for name, target in targets.items()}, report, keeper.remember)
    return report


def source(place: Place | None, end: int) -> Iterator[list[Received]]:
    begin = int(place.offset) + 1 if place and place.offset else 0
    yield from ([received(number)] for number in range(begin, end))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "state" / "place.json")


def test_the_body_is_the_change_of_the_event_stream() -> None:
    item = user(user_metadata={"n": 1.50}, name="é")
    for kind, value in (("user.updated", item), ("user.created", item), ("user.deleted", {"user_id": "auth0|ada"})):
        live = streamed(kind, value, event_id="evt_1")
        past = body(Received("o", text(live["detail"]).encode(), kind, "2023-07-11T16:30:53.250000Z"))
        assert read(past) == read(text(live))
        together = collect([sqs_record(text(live), "live"), sqs_record(past, "past")])
        assert len(together.changes) == 1


def test_every_event_goes_to_both_queues(kept: Kept) -> None:
    postgres, dynamodb = Target(), Target()
    report = run(kept, source(None, 1234), postgres=postgres, dynamodb=dynamodb)
    assert sorted(postgres.taken) == sorted(dynamodb.taken) == [*range(1234)]
    assert (report.caught_up, report.events, report.sent["postgres"]) == (True, {"user.updated": 1234}, 1234)
    assert (report.first, report.last) == (received(0).time, received(1233).time)
    place = kept.read()
    assert place is not None
    assert (place.offset, place.since) == ("1233", START)


@pytest.mark.parametrize("fails", [QueueDown(), KeyboardInterrupt(), RuntimeError()])
@pytest.mark.parametrize("begin", [0, 250, 1200])
def test_a_run_that_was_cut_short_goes_on_and_loses_nothing(kept: Kept, fails: BaseException, begin: int) -> None:
    whole, broken = Target(), Target(fails, begin)
    with suppress(KeyboardInterrupt, RuntimeError):
        assert not run(kept, source(None, 2000), postgres=whole, dynamodb=broken).caught_up
    second = Target()
    later = START + timedelta(minutes=1)  # such as that of --since 2h, a minute later
    assert run(kept, source(kept.read(), 2000), later, postgres=whole, dynamodb=second).caught_up
    assert {*whole.taken} == {*broken.taken, *second.taken} == {*range(2000)}
    repeated = len(whole.taken) - 2000
    assert repeated <= AT_ONCE


def test_an_event_that_a_store_never_takes_is_told_and_passed(kept: Kept) -> None:
    report = run(kept, source(None, 25), postgres=Target(), dynamodb=Target(NotStored("Refused"), begin=10))
    assert report.caught_up
    assert report.refused == {"dynamodb: Refused": 15}
    assert report.refused_from == received(10).time


def test_the_next_run_sends_the_events_of_a_round_in_which_a_queue_was_down(kept: Kept) -> None:
    """So the report names only those that no run sends again by itself."""
    round_ = [received(number) for number in range(25)]
    report = run(kept, iter([round_]), postgres=Target(), dynamodb=Target(QueueDown(), begin=10))
    assert (report.caught_up, report.refused, report.refused_from) == (False, {"dynamodb: QueueDown": 15}, "")


def test_markers_move_the_place(kept: Kept) -> None:
    target = Target()
    run(kept, iter([[received(3)], [Received("9")], [Received("", problem="unreadable")]]), postgres=target)
    place = kept.read()
    assert place is not None
    assert (place.offset, place.reached, target.taken) == ("9", START + timedelta(seconds=3), [3])


def test_an_error_of_auth0_comes_after_the_events_before_it(kept: Kept) -> None:
    def breaks() -> Iterator[list[Received]]:
        yield [received(0)]
        raise CommandError("gone")

    target = Target()
    with pytest.raises(CommandError, match="gone"):
        run(kept, breaks(), postgres=target)
    assert target.taken == [0]


@given(st.lists(st.lists(st.integers(), max_size=400), max_size=40))
def test_what_is_read_ahead_keeps_its_order(parts: list[list[int]]) -> None:
    assert [*itertools.chain.from_iterable(Ahead(iter(parts)))] == [*itertools.chain.from_iterable(parts)]


class TestPlace:
    PLACE = Place(DOMAIN, START, "x", START + timedelta(hours=1))

    @pytest.mark.parametrize(
        ("minutes", "caught_up", "expected"),
        [(-1, False, False), (0, False, True), (30, False, True), (90, False, True),
         (-1, True, False), (30, True, True), (60, True, True), (61, True, False)],
    )  # fmt: skip
    def test_a_run_goes_on_only_where_it_misses_nothing(self, minutes: int, caught_up: bool, expected: bool) -> None:
        place = Place(DOMAIN, START, "x", START + timedelta(hours=1), caught_up)
        assert place.goes_on(DOMAIN, START + timedelta(minutes=minutes)) is expected

    def test_the_place_of_another_tenant_is_none_for_this_one(self) -> None:
        assert not self.PLACE.goes_on("other.eu.auth0.com", START)

    def test_the_file_is_replaced_as_a_whole(self, tmp_path: Path, kept: Kept) -> None:
        assert kept.read() is None
        kept.keep(self.PLACE)
        assert kept.read() == self.PLACE
        assert [path.name for path in (tmp_path / "state").iterdir()] == ["place.json"]

    def test_a_damaged_file_is_named(self, tmp_path: Path, kept: Kept) -> None:
        kept.keep(self.PLACE)
        (tmp_path / "state" / "place.json").write_text("{")
        with pytest.raises(CommandError, match=r"place\.json is damaged"):
            kept.read()
