"""A running cluster: its server, its front and its sign-in. ``patches.aurora`` describes AWS's behaviour."""

# ruff: noqa: SLF001 - MiniStack's records are private; patches.aurora requires them

import logging
import os
import shutil
import ssl
import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ministack.core import rds_iam, responses
from ministack.services import rds

from devstack.emulator import permissions
from devstack.emulator.aurora.front import Front
from devstack.emulator.aurora.server import Server, end_leftovers

log = logging.getLogger("aurora")

START_SECONDS = 60

_clusters: dict[str, "Cluster"] = {}
"""By ARN."""
_directory: list[Path] = []
origins: dict[str, Server] = {}
"""Identifier of a new cluster to the server whose data it copies."""


def configure(directory: Path) -> None:
    """Keep the servers and the CA's certificate below ``directory``; end servers of an earlier emulator there."""
    end_leftovers(directory)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    _directory[:] = [directory]
    os.environ["PGSSLROOTCERT"] = str(directory / "ca.pem")


def stop_all() -> None:
    """Stop every server."""
    for cluster in list(_clusters.values()):
        forget(cluster)
        cluster.close()


@dataclass
class Cluster:
    """The server and the front of the cluster that ``record`` describes."""

    record: dict[str, Any]
    account: str
    region: str
    server: Server
    front: Front = field(init=False)
    started: threading.Event = field(default_factory=threading.Event)
    """Set when the server has started, or has failed to."""
    failed: bool = False

    def __post_init__(self) -> None:
        self.front = Front(_tls, lambda: self.server.port, self.sign_in)

    @property
    def ready(self) -> bool:
        """Return whether the server runs."""
        return self.started.is_set() and not self.failed

    def has_instance(self) -> bool:
        """Return whether an instance can answer; wait for a server that is starting."""
        self.started.wait(START_SECONDS)
        with responses.request_scope(self.account, self.region):
            members = [rds._instances.get(member["DBInstanceIdentifier"]) for member in self.record["DBClusterMembers"]]
        return self.ready and any(member and member["DBInstanceStatus"] == "available" for member in members)

    def sign_in(self, user: str, database: str, password: str) -> tuple[str, str] | None:  # noqa: ARG002 - see SignIn
        """Check a sign-in; return Postgres' error if it fails."""
        if not self.has_instance():
            return "57P03", "the database system is starting up"
        role = self.server.role(user)
        if role is not None and role.iam:
            problem = self._token_problem(user, password)
            if problem:
                log.warning("Aurora: %s may not sign in to %s: %s", user, self.record["DBClusterArn"], problem)
                return "28000", f'PAM authentication failed for user "{user}"'
        elif role is None or not role.accepts(password):
            return "28P01", f'password authentication failed for user "{user}"'
        return None

    def _token_problem(self, user: str, token: str) -> str:
        if not self.record["IAMDatabaseAuthenticationEnabled"]:
            return "IAM authentication is off"
        with responses.request_scope(self.account, self.region):
            verified = rds_iam.verify_rds_iam_token(
                token,
                hostname=self.front.host,
                port=self.front.port,
                db_user=user,
                region=self.region,
                account_id=self.account,
            )
        if isinstance(verified, rds_iam.RdsIamTokenError):
            return str(verified.code)
        place = f"arn:aws:rds-db:{self.region}:{self.account}"
        resource = f"{place}:dbuser:{self.record['DbClusterResourceId']}/{user}"
        if not permissions.allowed(verified.access_key_id, self.account, self.region, "rds-db:connect", resource):
            return f"{verified.principal_arn} is not allowed rds-db:connect on {resource}"
        return ""

    def close(self) -> None:
        """Stop the server, once it has started."""
        self.front.close()
        self.started.wait(START_SECONDS)
        self.server.stop()


def running(arn: str) -> Cluster | None:
    """Return the cluster of an ARN, if it has an embedded server."""
    return _clusters.get(arn)


def add(record: dict[str, Any], account: str, region: str, port: int | None) -> Cluster:
    """Return a new cluster whose front listens, on ``port`` if given, without a started server. Raises OSError."""
    cluster = Cluster(record, account, region, Server(_directory[0] / record["DbClusterResourceId"]))
    cluster.server.origin = origins.get(record["DBClusterIdentifier"])
    cluster.front.open(port or 0)
    (_directory[0] / "ca.pem").write_text(rds.pg_ca_cert_pem())
    _clusters[record["DBClusterArn"]] = cluster
    return cluster


def forget(cluster: Cluster) -> None:
    """Remove a cluster, so that its name is free; ``close`` stops its server."""
    del _clusters[cluster.record["DBClusterArn"]]


@cache
def _tls(host: str) -> ssl.SSLContext:
    """Return a front's certificate, for its address and this machine's name."""
    certificate, key = rds._pg_server_material(["localhost"], [host])
    chain = _directory[0] / f"{host}.pem"
    chain.touch(mode=0o600)
    chain.write_text(f"{certificate}\n{key}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context
