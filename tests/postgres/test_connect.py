"""Signing in as on RDS: TLS that is verified, a token, and a server that takes a while to wake up."""

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devstack import postgres as embedded
from pipeline.errors import StoreDown
from pipeline.functions import migrate
from pipeline.settings import Database
from pipeline.sinks import postgres

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "session"}


Issuer = tuple[x509.Name, ec.EllipticCurvePrivateKey]


def certificate(path: Path, name: str, issuer: Issuer | None = None) -> Issuer:
    """Write `path`.pem and its key; returns what signs others. Authorities have no issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, signer_key = issuer or (subject, key)
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(signer_key, hashes.SHA256())
    )
    path.with_suffix(".pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.with_suffix(".key").write_bytes(private)
    return subject, key


class Front:
    """TLS in front of a server that cannot, as `localhost`, with what RDS does while a cluster resumes.

    Until `asleep` seconds are over, a connection is refused, or is accepted and hears nothing.
    """

    def __init__(self, port: int, directory: Path, asleep: float = 0.0, *, refuses: bool = True) -> None:
        self._backend, self._wakes, self._refuses = port, time.monotonic() + asleep, refuses
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(directory / "server.pem", directory / "server.key")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._kept: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]
        self.tried = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for kept in self._kept:
            kept.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.tried += 1
            if time.monotonic() >= self._wakes:
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()
            elif self._refuses:
                client.close()
            else:
                self._kept.append(client)

    def _forward(self, client: socket.socket) -> None:
        client.recv(8)  # the request for TLS, which precedes everything
        client.sendall(b"S")
        with (
            suppress(OSError),
            self._tls.wrap_socket(client, server_side=True) as outside,
            socket.create_connection(("127.0.0.1", self._backend)) as inside,
        ):
            while True:
                ready = [outside] if outside.pending() else select.select([outside, inside], [], [])[0]
                for source, target in ((outside, inside), (inside, outside)):
                    if source in ready:
                        data = source.recv(65536)
                        if not data:
                            return
                        target.sendall(data)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Yield the port of a server that asks nobody for a password, and the directory of its front's certificates."""
    directory, home = tmp_path_factory.mktemp("tls"), tmp_path_factory.mktemp("server")
    certificate(directory / "server", "localhost", certificate(directory / "authority", "an authority"))
    certificate(directory / "other", "another authority")
    try:
        yield embedded.start(home, durable=False).port, directory
    finally:
        embedded.stop(home, delete=True)


@pytest.fixture
def front(server: tuple[int, Path]) -> Iterator[Callable[..., Front]]:
    """Return a function that makes fronts of the server."""
    made: list[Front] = []

    def make(*arguments: Any, **options: Any) -> Front:
        made.append(Front(*server, *arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def database(
    server: tuple[int, Path], front: Callable[..., Front], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Database]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(postgres, "RESUME_SECONDS", 0.0)
    monkeypatch.setattr(postgres, "_PAUSE", 0.05)
    awake = front()
    _, directory = server

    def reached(
        port: int = awake.port,
        host: str = "localhost",
        user: str = "postgres",
        ca_file: str = str(directory / "authority.pem"),
    ) -> Database:
        return Database(host=host, port=port, name="postgres", user=user, region="eu-central-1", ca_file=ca_file)

    return reached


def encrypted(connection: psycopg.Connection) -> bool:
    with connection:
        return bool(connection.pgconn.ssl_in_use) and connection.execute("SELECT 1").fetchone() == (1,)


def test_the_server_is_verified(database: Callable[..., Database]) -> None:
    assert encrypted(postgres.connect(database()))


def test_migrations_connect_in_the_same_way(database: Callable[..., Database]) -> None:
    with migrate.engine(database()).connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        assert driver.pgconn.ssl_in_use
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_the_authorities_of_rds_are_the_default(
    database: Callable[..., Database], server: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "RDS_CERTIFICATES", server[1] / "authority.pem")
    assert encrypted(postgres.connect(database(ca_file="")))


def test_a_server_of_another_authority_is_refused(database: Callable[..., Database], server: tuple[int, Path]) -> None:
    with pytest.raises(StoreDown, match="certificate verify failed"):
        postgres.connect(database(ca_file=str(server[1] / "other.pem")))


def test_a_server_of_another_name_is_refused(database: Callable[..., Database]) -> None:
    with pytest.raises(StoreDown, match=r'does not match host name "127\.0\.0\.1"'):
        postgres.connect(database(host="127.0.0.1"))


def test_missing_authorities_are_named(
    database: Callable[..., Database], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(postgres, "RDS_CERTIFICATES", tmp_path / "nowhere.pem")
    with pytest.raises(StoreDown, match=r"nowhere\.pem"):
        postgres.connect(database(ca_file=""))


def test_connection_error_has_the_reason_without_the_token(database: Callable[..., Database]) -> None:
    with pytest.raises(StoreDown, match='role "nobody" does not exist') as raised:
        postgres.connect(database(user="nobody"))
    assert "X-Amz-" not in str(raised.value)


@pytest.mark.parametrize("refuses", [True, False], ids=["refuses", "hangs"])
def test_connection_waits_for_a_resuming_cluster(
    database: Callable[..., Database], front: Callable[..., Front], monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    monkeypatch.setattr(postgres, "RESUME_SECONDS", 20.0)
    monkeypatch.setitem(postgres._SESSION, "connect_timeout", "2")
    paused = front(3, refuses=refuses)
    began = time.monotonic()
    assert encrypted(postgres.connect(database(paused.port)))
    assert 3 <= time.monotonic() - began < 10
    assert paused.tried > 1


def test_connection_attempts_end_before_the_functions_timeout(
    database: Callable[..., Database], front: Callable[..., Front], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "RESUME_SECONDS", 1.0)
    paused = front(60)
    began = time.monotonic()
    with pytest.raises(StoreDown):
        postgres.connect(database(paused.port))
    assert time.monotonic() - began < 5
    assert paused.tried > 2


def test_default_timeout_outlasts_a_resume_within_the_functions_time() -> None:
    """30 seconds after a day of pause; a function of 60 seconds, of which the last try may take all of its timeout."""
    assert postgres.RESUME_SECONDS > 30
    assert postgres.RESUME_SECONDS + int(postgres._SESSION["connect_timeout"]) <= 55


def test_connection_by_url_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "RESUME_SECONDS", 60.0)
    began = time.monotonic()
    with pytest.raises(StoreDown):
        postgres.connect(Database(url="postgresql://postgres@127.0.0.1:1/none"))
    assert time.monotonic() - began < 5
