from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from pipeline.auth0.api import Fetched, Gone
from pipeline.auth0.errors import Auth0Down, CredentialsRefused, OutOfTime, RateLimited
from pipeline.auth0.fetcher import LONGEST_PAUSE, Fetcher

GONE = Gone(datetime(2026, 1, 1, tzinfo=UTC))


class World:
    """A clock that only sleeping and answering move, and an API that answers from a list."""

    def __init__(self, answers: Sequence[Fetched | Gone | Exception] = (), seconds: float = 0) -> None:
        self.now = 1000.0
        self.asked_at: list[float] = []
        self._answers = list(answers)
        self._seconds = seconds

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def user(self, user_id: str, deadline: float) -> Fetched | Gone:
        assert self.now < deadline
        self.asked_at.append(self.now)
        self.now += self._seconds
        answer = self._answers.pop(0) if self._answers else GONE
        if isinstance(answer, Exception):
            raise answer
        return answer

    def fetcher(self, rate: float = 2) -> Fetcher:
        return Fetcher(self, rate, self.clock, self.sleep)


def test_requests_keep_to_the_rate_and_the_first_does_not_wait() -> None:
    world = World()
    fetcher = world.fetcher(rate=4)
    for _ in range(5):
        fetcher.fetch("auth0|ada", 2000)
    assert world.asked_at == [1000, 1000.25, 1000.5, 1000.75, 1001]


def test_time_that_answers_take_counts_towards_the_rate_and_is_not_saved_up() -> None:
    world = World(seconds=2)
    fetcher = world.fetcher(rate=2)
    for _ in range(3):
        fetcher.fetch("auth0|ada", 2000)
    assert world.asked_at == [1000, 1002, 1004]


def test_a_failure_that_passes_is_not_seen() -> None:
    world = World([Auth0Down("GET user: 500"), Auth0Down("GET user: 500"), GONE])
    assert world.fetcher(rate=100).fetch("auth0|ada", 2000) is GONE
    assert world.asked_at == [1000, 1000.5, 1001.5]


def test_an_outage_is_reported_after_three_attempts() -> None:
    world = World([Auth0Down("GET user: 500")] * 9)
    with pytest.raises(Auth0Down, match="500"):
        world.fetcher().fetch("auth0|ada", 2000)
    assert len(world.asked_at) == 3


def test_a_short_limit_is_waited_out() -> None:
    world = World([RateLimited(wait=4), GONE])
    assert world.fetcher().fetch("auth0|ada", 2000) is GONE
    assert world.asked_at == [1000, 1004]


def test_a_long_limit_is_reported_at_once_and_remembered_for_the_next_batch() -> None:
    world = World([RateLimited(wait=LONGEST_PAUSE + 20)])
    fetcher = world.fetcher()
    with pytest.raises(RateLimited) as first:
        fetcher.fetch("auth0|ada", 2000)
    world.now += 15
    with pytest.raises(RateLimited) as second:
        fetcher.fetch("auth0|eve", 2000)
    assert (first.value.wait, second.value.wait) == (30, 15)
    assert len(world.asked_at) == 1
    world.now += 15
    assert fetcher.fetch("auth0|eve", 2000) is GONE


def test_a_limit_that_ends_after_the_deadline_is_not_waited_for() -> None:
    world = World([RateLimited(wait=5)])
    with pytest.raises(RateLimited):
        world.fetcher().fetch("auth0|ada", 1004)
    assert world.now == 1000


def test_a_limit_that_does_not_end_is_reported_after_three_attempts() -> None:
    world = World([RateLimited(wait=2)] * 9)
    with pytest.raises(RateLimited):
        world.fetcher().fetch("auth0|ada", 2000)
    assert len(world.asked_at) == 3


def test_a_turn_after_the_deadline_does_not_come() -> None:
    world = World()
    fetcher = world.fetcher(rate=0.1)
    fetcher.fetch("auth0|ada", 1005)
    with pytest.raises(OutOfTime):
        fetcher.fetch("auth0|eve", 1005)
    assert (world.asked_at, world.now) == ([1000], 1000)


def test_an_outage_until_the_deadline_is_an_outage_and_not_a_lack_of_time() -> None:
    world = World([Auth0Down("GET: ReadTimeoutError")] * 9, seconds=3)
    with pytest.raises(Auth0Down):
        world.fetcher().fetch("auth0|ada", 1004)


def test_wrong_credentials_are_not_tried_again() -> None:
    world = World([CredentialsRefused()])
    with pytest.raises(CredentialsRefused):
        world.fetcher().fetch("auth0|ada", 2000)
    assert len(world.asked_at) == 1
