"""The function sends the same requests to Auth0 as Auth0's own SDK."""

import time
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from auth0.management import ManagementClient
from auth0.management.token_provider import TokenProvider

from .management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN
from .management_api import ManagementApi as Server
from .test_api import IDS, client


def test_the_same_users_are_asked_for_at_the_same_addresses(auth0: Server) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        return httpx.Response(200, json={})

    api = client(auth0)
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        sdk = ManagementClient(domain=DOMAIN, token="token", httpx_client=http)
        for user_id in IDS:
            auth0.add(user_id)
            sdk.users.get(user_id)
            api.user(user_id, time.monotonic() + 10)
    assert [request.path for request in auth0.requests] == asked


def test_a_token_is_asked_for_with_the_same_form(auth0: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append({name: values[0] for name, values in parse_qs(request.content.decode()).items()})
        return httpx.Response(200, json={"access_token": "token", "expires_in": 86400})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr("auth0.management.token_provider.httpx.Client", lambda: http)
    TokenProvider(domain=DOMAIN, client_id=CLIENT_ID, client_secret=CLIENT_SECRET).get_token()
    auth0.add("auth0|ada")
    client(auth0).user("auth0|ada", time.monotonic() + 10)
    assert auth0.token_forms == sent
