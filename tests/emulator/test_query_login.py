"""The login of people who use the Data API: what its secret allows, and who may use it."""

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from pipeline import data_api, roles, settings
from pipeline.functions import roles as function
from pipeline.functions.migrate import migrate
from pipeline.stores.aurora import DataApi
from pipeline.stores.postgres import PostgresStore

from .support import Aws, allow, name
from .test_aurora import Cluster, create, delete

pytestmark = [pytest.mark.emulator, pytest.mark.postgres]


class Login:
    """A cluster with the deployment's roles, and the secret of `auth0_query`."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.aws = cluster, cluster.aws
        self.secrets = self.aws.client("secretsmanager")
        self.secret = self.secrets.create_secret(Name=name("query"))["ARN"]
        self.make_roles()

    @property
    def target(self) -> settings.Cluster:
        return settings.Cluster(self.cluster.arn, self.secret, "app")

    def make_roles(self) -> None:
        master = settings.Cluster(self.cluster.arn, self.cluster.secret_arn, "app")
        client = self.aws.client("rds-data")
        assert function.create(client, self.secrets, master, self.secret, time.monotonic() + 60) == []

    def run(self, statement: str, client: Any = None) -> Any:
        with data_api.Transaction(client or self.aws.client("rds-data"), self.target) as transaction:
            return transaction.execute(statement).rows

    def attack(self, statement: str) -> None:
        """Run a statement by a call of its own, in a transaction that may write."""
        block = f"DO $$ BEGIN SET default_transaction_read_only = off; COMMIT; EXECUTE $x${statement}$x$; END $$"
        target = {"resourceArn": self.cluster.arn, "secretArn": self.secret, "database": "app"}
        data_api.call(self.aws.client("rds-data").execute_statement, **target, sql=block)


@pytest.fixture(scope="module")
def login(aws: Aws) -> Iterator[Login]:
    cluster = create(aws)
    login = Login(cluster)
    token, ca = (quote(text, safe="") for text in (cluster.token(roles.MIGRATOR), str(aws.emulator.ca)))
    address = f"{roles.MIGRATOR}:{token}@{cluster.host}:{cluster.port}/app?sslmode=verify-full&sslrootcert={ca}"
    migrate(settings.Database(url=f"postgresql://{address}"))
    yield login
    delete(cluster)


def test_query_login_reads_as_the_commands_do(login: Login) -> None:
    assert login.run("SELECT current_user::text, session_user::text") == [(roles.QUERY, roles.QUERY)]
    assert PostgresStore(DataApi(login.aws.client("rds-data"), login.target)).read("auth0|nobody") is None
    assert json.loads(login.secrets.get_secret_value(SecretId=login.secret)["SecretString"])["username"] == roles.QUERY


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO auth0.user_rows (user_id, updated_at, version, source, event_id) VALUES ('a', now(), '', '', '')",
        "UPDATE auth0.user_history SET actor = 'alice'",
        "SET ROLE auth0_writer",
        "SET ROLE auth0_migrator",
        "SET ROLE postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rdsadmin' OR pid = 1",
        "CREATE TABLE auth0.x ()",
        "CREATE ROLE x",
        "GRANT auth0_migrator TO auth0_query",
    ],
)
def test_holder_of_the_query_secret_can_only_read(login: Login, statement: str) -> None:
    with pytest.raises(data_api.Refused, match=r"permission denied|42501"):
        login.attack(statement)


def test_a_run_renews_the_password(login: Login) -> None:
    before = login.secrets.get_secret_value(SecretId=login.secret)["SecretString"]
    login.make_roles()
    after = login.secrets.get_secret_value(SecretId=login.secret)["SecretString"]
    assert before != after
    assert login.run("SELECT 1") == [(1,)]
    old = settings.Cluster(
        login.cluster.arn, login.secrets.create_secret(Name=name("old"), SecretString=before)["ARN"], "app"
    )
    with pytest.raises(data_api.Refused, match="password authentication failed"):
        data_api.Transaction(login.aws.client("rds-data"), old)


def test_query_login_cannot_sign_in_by_token(login: Login) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        login.cluster.connect(roles.QUERY, login.cluster.token(roles.QUERY))


def test_the_documented_policy_of_people_does_not_reach_the_masters_secret(login: Login) -> None:
    """As Terraform's output database_query_policy has it."""
    actions = [
        f"rds-data:{each}"
        for each in ("BeginTransaction", "CommitTransaction", "ExecuteStatement", "RollbackTransaction")
    ]
    rights = allow(actions, login.cluster.arn), allow("secretsmanager:GetSecretValue", login.secret)
    client = login.aws.session(*rights).client("rds-data")
    assert login.run("SELECT 1", client=client) == [(1,)]
    with pytest.raises(data_api.NotAllowed, match="secretsmanager:GetSecretValue"):
        data_api.Transaction(client, settings.Cluster(login.cluster.arn, login.cluster.secret_arn, "app"))
