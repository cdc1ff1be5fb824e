"""A visitor of the login page, a user of the tenant, or who administers an identity provider: all choose profiles."""

import json
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from devstack import stack
from pipeline.auth0.api import Fetched
from pipeline.auth0.settings import Refresh
from pipeline.cli import app
from pipeline.functions import refresh
from tests.refresh.support import DYNAMODB, POSTGRES, REFRESH, Sqs, log, records
from tests.stack.test_sources import put, stored, until
from tests.strategies import DATE, Json, created, updated, user

from .actors import Target

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]

HOSTILE = {
    "asterisks": "***",
    "escape sequences": "\x1b]52;c;eA==\x07\x1b[2J\x1b[8m",
    "C1 controls": "\x9b2J\x9d0;x\x9c",
    "bidirectional controls": "\u202egnp.exe\u2066",
    "a formula": '=HYPERLINK("http://attacker.example")',
    "markup": "[bold red]x[/] <script>alert(1)</script>",
    "SQL": "'; DROP TABLE auth0.user_rows; --",
    "line breaks": "x\r\nSQL: granted\u2028",
}
DEEP: Json = {"metadata": "x"}
for _ in range(900):
    DEEP = {"a": DEEP}


def profile(kind: str, **fields: Any) -> Json:
    value = HOSTILE[kind]
    index = list(HOSTILE).index(kind)
    named = {"name": value, "nickname": value, "given_name": value, "user_metadata": {"note": value, "deep": DEEP}}
    return user(
        f"samlp|attacks|{index}\u00a0{value[:1]}" if value.isprintable() else f"auth0|attacks{index}", **named | fields
    )


@pytest.fixture(scope="module")
def visitors(target: Target) -> None:
    """Each signs up under a hostile name, and is blocked a second later."""
    now = datetime.now(UTC)
    times = [f"{now + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}.000Z" for second in range(2)]
    put(target.stack, *(created(profile(kind, updated_at=times[0]), log_id=f"{kind} 1") for kind in HOSTILE))
    put(
        target.stack,
        *(updated(profile(kind, updated_at=times[1], blocked=True), log_id=f"{kind} 2") for kind in HOSTILE),
    )


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_name_hides_its_user(target: Target, visitors: None, kind: str) -> None:
    user_id = profile(kind)["user_id"]

    def blocked() -> bool:
        found = stored(target.stack, user_id)
        return found is not None and all(store["profile"].get("blocked") is True for store in found)

    until(blocked)


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_what_a_command_prints_controls_no_terminal(
    target: Target, visitors: None, monkeypatch: pytest.MonkeyPatch, kind: str, form: tuple[str, ...]
) -> None:
    for name, value in stack.environment(target.stack).items():
        monkeypatch.setenv(name, value)
    until(lambda: stored(target.stack, profile(kind)["user_id"]))
    output = CliRunner().invoke(app, ["user", profile(kind)["user_id"], *form]).output
    assert output
    assert {character for character in set(output) if unicodedata.category(character) in ("Cc", "Cf")} <= {"\n"}


class Asked:
    """A tenant that takes a second for each user, and keeps whom it was asked for."""

    def __init__(self) -> None:
        self.users: list[str] = []

    def fetch(self, user_id: str, deadline: float) -> Fetched:
        self.users.append(user_id)
        return Fetched(user_id, json.dumps(user(user_id)).encode(), datetime.now(UTC))


def test_flood_of_sign_ups_does_not_delay_others() -> None:
    asked, unused = Asked(), None
    tenant: Any = lambda: asked  # noqa: E731 - typed as Any
    queues: Any = Sqs()
    functions: Any = unused
    config = Refresh(REFRESH, (POSTGRES, DYNAMODB), 1)
    function = refresh.Refresh(config, tenant, queues, functions, monotonic=lambda: float(len(asked.users)))
    flood = [log({"type": "ss", "date": DATE, "user_id": f"auth0|bot{number}"}) for number in range(999)]
    change = log({"type": "scp", "date": DATE, "user_id": "auth0|ada"})
    function(records([*flood, change])["Records"], 1000)
    assert len(asked.users) < 20, "the function's turn has an end"
    assert "auth0|ada" in asked.users
