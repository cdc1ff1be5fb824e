"""docs/programs.md: the code for programs runs, as a program of somebody else's would."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text

from pipeline import roles
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from pipeline.sinks.dynamodb import DynamoDBSink
from tests.strategies import changes, deleted, updated, user

from .support import REGION, Aws, users_table
from .test_aurora import Cluster, create, delete

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.emulator, pytest.mark.postgres]


def program(tag: str, page: str = "docs/programs.md") -> dict[str, Any]:
    """Run a block of a page; what it defines."""
    text = (ROOT / page).read_text("utf-8")
    [code] = re.findall(rf"^```{tag}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    defined: dict[str, Any] = {}
    exec(compile(code, page, "exec"), defined)
    return defined


@pytest.fixture(scope="module")
def cluster(aws: Aws) -> Iterator[Cluster]:
    """A cluster with roles and schema, in which one user has a plan."""
    cluster = create(aws)
    master = {"user": cluster.master["username"], "password": cluster.master["password"]}
    with cluster.connect(**master) as connection, connection.transaction():
        for statement in roles.statements():
            connection.execute(statement)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        where: dict[str, Any] = {"host": cluster.host, "port": cluster.port, "name": "app", "region": REGION}
        migrate(Database(**where, user="auth0_migrator", ca_file=str(aws.emulator.ca)))
    with cluster.connect("auth0_writer", cluster.token("auth0_writer")) as connection:
        connection.execute(
            "INSERT INTO auth0.user_rows (user_id, user_metadata, updated_at, version, source, event_id) "
            """VALUES ('auth0|ada', '{"plan": "pro"}', now(), '1', 's', 'e')"""
        )
    yield cluster
    delete(cluster)


@pytest.fixture
def settings(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a program."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.emulator.endpoint)
    return monkeypatch


def test_a_program_reads_postgres(cluster: Cluster, settings: pytest.MonkeyPatch) -> None:
    settings.setenv("PGHOST", cluster.host)
    settings.setenv("PGPORT", str(cluster.port))
    settings.setenv("PGDATABASE", "app")
    settings.setenv("PGSSLROOTCERT", str(cluster.aws.emulator.ca))
    code = program("python postgres")
    with code["connect"]() as connection:
        assert connection.pgconn.ssl_in_use
        assert code["plan_of"](connection, "auth0|ada") == "pro"
        assert code["plan_of"](connection, "auth0|bob") is None
        assert connection.execute("SELECT user_id FROM live_users").fetchall() == [("auth0|ada",)]  # without the schema
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM auth0.user_rows")
    engine = create_engine("postgresql+psycopg://", creator=code["connect"])
    with engine.connect() as session:
        assert session.scalar(text("SELECT current_user")) == "auth0_reader"
    engine.dispose()


def test_a_program_reads_dynamodb(aws: Aws, settings: pytest.MonkeyPatch) -> None:
    client = aws.client("dynamodb")
    table = users_table(client)
    kept = {"seats": 3, "rate": 0.5, "deep": [{"n": 1}], "on": True, "nothing": None}
    notes = {"notes": "x" * 500_000}
    sink = DynamoDBSink(client, table, threads=2)
    large = updated(user("a|large", user_metadata=notes))
    assert sink.apply(changes(updated(user("a|1", user_metadata=kept)), deleted("a|2"), large)).failed == {}
    settings.setenv("USERS_TABLE", table)
    settings.setenv("AWS_DEFAULT_REGION", REGION)
    short = program("python", "README.md")["metadata_of"]
    assert short("a|1") == kept | {"seats": Decimal(3), "rate": Decimal("0.5"), "deep": [{"n": Decimal(1)}]}
    assert short("a|2") is short("a|3") is None
    metadata_of = program("python dynamodb")["metadata_of"]
    assert metadata_of("a|1") == metadata_of("a|1", consistent=True) == kept
    assert isinstance(metadata_of("a|1")["seats"], int)
    assert metadata_of("a|2") is None
    assert metadata_of("a|3") is None
    with pytest.raises(LookupError, match="from Postgres"):
        metadata_of("a|large")
    client.delete_table(TableName=table)
    client.close()
