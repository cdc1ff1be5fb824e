"""A cluster's Postgres server, with the roles that RDS makes in it.

Aurora User Guide, "Understanding the rds_superuser role", "Creating a database account using IAM authentication":
the master user is no superuser. It may make roles and databases, and is a member of rds_superuser. Granting it, or any
role, rds_iam makes IAM the only way for that role to sign in.
"""

from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from devstack import postgres
from devstack.emulator.aurora import passwords
from devstack.emulator.aurora.guard import Guard

ADMIN = "rdsadmin"
_BOOTSTRAP = "emulator"

# Ignore memberships that only allow granting the role to others: the master has one in each role that it makes, and
# could not sign in with its password once it has made a role for IAM.
_ROLE = """\
WITH RECURSIVE granted(id) AS (
    SELECT oid FROM pg_roles WHERE rolname = %(name)s
    UNION
    SELECT membership.roleid
    FROM pg_auth_members AS membership JOIN granted ON membership.member = granted.id
    WHERE membership.inherit_option OR membership.set_option
)
SELECT
    rolpassword,
    EXISTS (SELECT FROM granted JOIN pg_roles ON pg_roles.oid = granted.id WHERE pg_roles.rolname = 'rds_iam')
FROM pg_authid
WHERE rolname = %(name)s"""

_guard = Guard()


@dataclass(frozen=True)
class Role:
    """The sign-in of a database user: with an IAM token, or with the password of ``verifier``, if any."""

    iam: bool
    verifier: str | None

    def accepts(self, password: str) -> bool:
        """Return whether ``password`` is the role's."""
        return passwords.matches(self.verifier, password)


class Server:
    """The server in ``directory``. It trusts all local connections; the front checks passwords."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self.origin: Server | None = None
        """The server whose data this one copies at its start."""

    def start(self, database: str | None, master: str, password: str) -> None:
        """Start an empty server, and make the roles and the cluster's database; or a copy. Raises StackError."""
        _guard.watch(self.directory)
        if self.origin:
            postgres.copy(self.origin.port, ADMIN, self.directory)
            self.port = postgres.start(self.directory, durable=False).port
            return
        started = postgres.start(self.directory, durable=False)
        self.port = started.port
        with psycopg.connect(started.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN").format(sql.Identifier(_BOOTSTRAP)))
        with self._connect(_BOOTSTRAP) as connection:
            # The first superuser's name may be that of the cluster's master user.
            connection.execute(sql.SQL("ALTER ROLE postgres RENAME TO {}").format(sql.Identifier(ADMIN)))
        with self._connect() as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(_BOOTSTRAP)))
            for statement in _roles(master, password):
                connection.execute(statement)
            owner = sql.Identifier(master)
            connection.execute(sql.SQL("ALTER DATABASE postgres OWNER TO {}").format(owner))
            if database and database != "postgres":
                create = sql.SQL("CREATE DATABASE {} OWNER {}")
                connection.execute(create.format(sql.Identifier(database), owner))

    def stop(self) -> None:
        """Stop the server and delete its data."""
        postgres.stop(self.directory, delete=True)
        _guard.release(self.directory)

    def role(self, name: str) -> Role | None:
        """Return the sign-in of a role, or None if it does not exist."""
        with self._connect() as connection:
            found = connection.execute(_ROLE, {"name": name}).fetchone()
        return Role(iam=found[1], verifier=found[0]) if found else None

    def set_password(self, name: str, password: str) -> None:
        """Change a role's password."""
        with self._connect() as connection:
            change = sql.SQL("ALTER ROLE {} PASSWORD {}")
            connection.execute(change.format(sql.Identifier(name), sql.Literal(password)))

    def connect(self, user: str, database: str, options: str = "") -> psycopg.Connection:
        """Open a session of a signed-in user, in autocommit."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=user, dbname=database, sslmode="disable", options=options,
            autocommit=True,
        )  # fmt: skip

    def _connect(self, user: str = ADMIN) -> psycopg.Connection:
        return self.connect(user, "postgres")


def _roles(master: str, password: str) -> list[sql.Composed]:
    name = sql.Identifier(master)
    attributes = sql.SQL("LOGIN CREATEDB CREATEROLE VALID UNTIL 'infinity' PASSWORD")
    given = sql.SQL("pg_monitor, pg_signal_backend, pg_checkpoint, pg_use_reserved_connections")
    return [
        *(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)) for role in ("rds_superuser", "rds_iam")),
        sql.SQL("GRANT {} TO rds_superuser WITH ADMIN OPTION").format(given),
        sql.SQL("CREATE ROLE {} {} {}").format(name, attributes, sql.Literal(password)),
        sql.SQL("GRANT rds_superuser TO {}").format(name),
        # It may grant IAM sign-in to others, but does not use it itself.
        sql.SQL("GRANT rds_iam TO {} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE").format(name),
    ]


def end_leftovers(directory: Path) -> None:
    """Stop and delete the servers of an earlier emulator below ``directory``."""
    for server in directory.glob("*/"):
        postgres.stop(server, delete=True)
