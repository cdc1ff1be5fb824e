import time
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

import pytest

from pipeline.auth0.api import Fetched, Gone, ManagementApi
from pipeline.auth0.credentials import Credentials
from pipeline.auth0.errors import Auth0Down, CredentialsRefused, RateLimited, UserIdRefused
from pipeline.auth0.session import wait
from pipeline.auth0.settings import Auth0

from .management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN, PREFIX, Answer, error
from .management_api import ManagementApi as Server


def client(auth0: Server, secret: str = CLIENT_SECRET) -> ManagementApi:
    return ManagementApi(Auth0(domain=DOMAIN, base_url=auth0.url), Credentials(CLIENT_ID, secret))


def soon(seconds: float = 10) -> float:
    return time.monotonic() + seconds


IDS = [
    "auth0|63d1",
    "samlp|conn|a/b c",
    "samlp|conn|name@acme.example",
    "oidc|corp|a%2Fb?x=1#y",
    "oauth2|åse|日本",
    "auth0|..",
    "waad|+ &=;,'\"~",
]


@pytest.mark.parametrize("user_id", IDS)
def test_a_user_comes_byte_for_byte_whatever_its_id(auth0: Server, user_id: str) -> None:
    body = auth0.add(user_id)
    before = datetime.now(UTC)
    answer = client(auth0).user(user_id, soon())
    assert isinstance(answer, Fetched)
    assert (answer.user_id, answer.body, answer.linked) == (user_id, body, ())
    assert before <= answer.asked_at <= datetime.now(UTC)
    assert auth0.requests[0].path == PREFIX + quote(user_id, safe="")


def test_one_token_serves_many_requests(auth0: Server) -> None:
    auth0.add("auth0|ada")
    api = client(auth0)
    for _ in range(3):
        api.user("auth0|ada", soon())
    assert len(auth0.token_forms) == 1


def test_a_token_is_replaced_before_it_ends(auth0: Server) -> None:
    auth0.add("auth0|ada")
    auth0.expires_in = 30
    api = client(auth0)
    api.user("auth0|ada", soon())
    api.user("auth0|ada", soon())
    assert len(auth0.token_forms) == 2
    assert [request.status for request in auth0.requests] == [200, 200]


def test_a_revoked_token_is_replaced_once(auth0: Server) -> None:
    auth0.add("auth0|ada")
    api = client(auth0)
    api.user("auth0|ada", soon())
    auth0.tokens.clear()
    assert isinstance(api.user("auth0|ada", soon()), Fetched)
    assert [request.status for request in auth0.requests] == [200, 401, 200]


def test_a_user_that_is_not_there_is_gone_as_of_the_request(auth0: Server) -> None:
    auth0.next_answers.append(Answer(404, error(404, "Not Found", "inexistent_user"), seconds=0.2))
    before = datetime.now(UTC)
    answer = client(auth0).user("auth0|nobody", soon())
    assert isinstance(answer, Gone)
    assert before <= answer.asked_at
    assert (datetime.now(UTC) - answer.asked_at).total_seconds() >= 0.2


@pytest.mark.parametrize("body", [error(404, "Not Found"), b"<html>not here</html>", b"[]", b""])
def test_a_404_that_does_not_speak_of_the_user_deletes_nobody(auth0: Server, body: bytes) -> None:
    auth0.next_answers.append(Answer(404, body))
    with pytest.raises(Auth0Down):
        client(auth0).user("auth0|ada", soon())


def test_wrong_credentials_say_what_to_check_and_hold_no_secret(auth0: Server) -> None:
    with pytest.raises(CredentialsRefused, match=r"id and secret.*token: 401 access_denied") as caught:
        client(auth0, "wrong-secret").user("auth0|ada", soon())
    assert "wrong-secret" not in str(caught.value)
    assert auth0.requests == []


def test_a_missing_grant_says_what_to_check(auth0: Server) -> None:
    auth0.next_answers.append(Answer(403, error(403, "Forbidden", "insufficient_scope")))
    with pytest.raises(CredentialsRefused, match=r"read:users\. \(GET user: 403 insufficient_scope\)"):
        client(auth0).user("auth0|ada", soon())


def test_a_token_that_is_never_taken_ends_after_a_second_one(auth0: Server) -> None:
    auth0.next_tokens += [Answer(200, b'{"access_token":"other","expires_in":86400}')] * 2
    with pytest.raises(CredentialsRefused, match="GET user: 401"):
        client(auth0).user("auth0|ada", soon())
    assert len(auth0.token_forms) == 2


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Answer(500, b"oops"), "GET user: 500"),
        (Answer(503, error(503, "Service Unavailable")), "GET user: 503"),
        (Answer(302, headers={"Location": "http://127.0.0.1:1/elsewhere"}), "GET user: 302"),
        (Answer(200, b'{"user_id":"auth0|ada","updated_at":"2023'), "not a user"),
        (Answer(200, b'{"user_id":"auth0|ada"}'), "not a user"),
        (Answer(200, b'{"user_id":"auth0|ada","updated_at":"2023-07-11T16:30:53.231Z","name":"\xff"}'), "not a user"),
        (Answer(200, b"[]"), "not a user"),
        (Answer(200, b'{"x":' + b"[" * 100_000), "not a user"),
        (Answer(200, b"<html>"), "not a user"),
    ],
)
def test_an_answer_that_is_no_user_is_an_outage(auth0: Server, answer: Answer, problem: str) -> None:
    auth0.next_answers.append(answer)
    with pytest.raises(Auth0Down, match=problem) as caught:
        client(auth0).user("auth0|ada", soon())
    assert "ada" not in str(caught.value)


@pytest.mark.parametrize("token", [Answer(200, b"{}"), Answer(200, b"<html>"), Answer(502, b"")])
def test_no_token_is_an_outage(auth0: Server, token: Answer) -> None:
    auth0.next_tokens.append(token)
    with pytest.raises(Auth0Down, match="token"):
        client(auth0).user("auth0|ada", soon())


def test_a_limited_token_endpoint_is_a_rate_limit(auth0: Server) -> None:
    auth0.next_tokens.append(Answer(429, headers={"Retry-After": "7"}))
    with pytest.raises(RateLimited) as caught:
        client(auth0).user("auth0|ada", soon())
    assert caught.value.wait == 7


def test_a_slow_answer_ends_at_the_deadline(auth0: Server) -> None:
    auth0.next_answers.append(Answer(200, seconds=2))
    api = client(auth0)
    begun = time.monotonic()
    with pytest.raises(Auth0Down, match="ReadTimeoutError") as caught:
        api.user("auth0|ada", soon(0.4))
    assert time.monotonic() - begun < 1.5
    assert "ada" not in str(caught.value)


def test_nobody_listening_is_an_outage() -> None:
    api = ManagementApi(Auth0(domain=DOMAIN, base_url="http://127.0.0.1:1"), Credentials(CLIENT_ID, CLIENT_SECRET))
    with pytest.raises(Auth0Down, match="NewConnectionError"):
        api.user("auth0|ada", soon())


def test_an_id_that_auth0_refuses_is_poison(auth0: Server) -> None:
    auth0.next_answers.append(Answer(400, error(400, "Bad Request", "invalid_uri")))
    with pytest.raises(UserIdRefused, match="invalid_uri"):
        client(auth0).user("no-provider", soon())


@pytest.mark.parametrize("user_id", [".", ".."])
def test_an_id_that_would_be_another_address_is_never_sent(auth0: Server, user_id: str) -> None:
    with pytest.raises(UserIdRefused):
        client(auth0).user(user_id, soon())
    assert auth0.requests == []


def test_the_answer_may_be_the_user_that_it_was_linked_to(auth0: Server) -> None:
    identities = [{"provider": "auth0", "user_id": "ada"}, {"provider": "google-oauth2", "user_id": 115}]
    auth0.users["google-oauth2|115"] = auth0.add("auth0|ada", identities=identities)
    answer = client(auth0).user("google-oauth2|115", soon())
    assert isinstance(answer, Fetched)
    assert (answer.user_id, answer.linked) == ("auth0|ada", ("google-oauth2|115",))


def test_unforeseen_identities_do_not_cost_the_user(auth0: Server) -> None:
    auth0.users["ada"] = auth0.add("auth0|ada", identities={"odd": True})
    answer = client(auth0).user("ada", soon())
    assert isinstance(answer, Fetched)
    assert (answer.user_id, answer.linked) == ("auth0|ada", ())


def test_an_escaped_lone_surrogate_does_not_cost_the_user(auth0: Server) -> None:
    body = rb'{"user_id":"auth0|ada","updated_at":"2023-07-11T16:30:53.231Z","name":"\ud800"}'
    auth0.users["auth0|ada"] = body
    answer = client(auth0).user("auth0|ada", soon())
    assert isinstance(answer, Fetched)
    assert answer.body == body


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30),
        ({"Retry-After": "30", "X-RateLimit-Reset": "1000005"}, 30),
        ({"Retry-After": format_datetime(datetime.fromtimestamp(1_000_060, UTC), usegmt=True)}, 60),
        ({"X-RateLimit-Reset": "1000005"}, 5),
        ({"Retry-After": "soon", "X-RateLimit-Reset": "1000005"}, 5),
        ({"X-RateLimit-Reset": "999000"}, 1),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "9" * 400}, 900),
        ({"X-RateLimit-Reset": "tomorrow"}, 1),
        ({}, 1),
    ],
)
def test_the_wait_that_a_429_asks_for(headers: dict[str, str], seconds: float) -> None:
    assert wait(headers, now=1_000_000) == seconds
