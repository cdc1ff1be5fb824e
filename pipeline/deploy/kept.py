"""Data about Auth0 that the commands keep: the credentials, if a person agrees, and the stopped streams."""

from pathlib import Path
from typing import Any, Final

import msgspec
from botocore.exceptions import ClientError

from pipeline.auth0.credentials import Credentials
from pipeline.auth0.streams import Kind, Stream
from pipeline.deploy import DeployError

_UNREADABLE: Final = ("ResourceNotFoundException", "AccessDeniedException")


class Application(msgspec.Struct, frozen=True):
    """A machine-to-machine application of a tenant, as the secret has it. Never write it into a log or an error."""

    domain: str
    client_id: str
    client_secret: str

    @property
    def credentials(self) -> Credentials:
        """Return the id and the secret."""
        return Credentials(self.client_id, self.client_secret)


class Secret:
    """The secret of one environment in Secrets Manager, ``auth0-sync/NAME``."""

    def __init__(self, client: Any, environment: str) -> None:
        self._client = client
        self.name = f"auth0-sync/{environment}"

    def read(self) -> Application | None:
        """Return the application in the secret; None if there is none, or if the caller may not read it."""
        try:
            text = self._client.get_secret_value(SecretId=self.name).get("SecretString", "")
        except ClientError as error:
            if error.response["Error"].get("Code") in _UNREADABLE:
                return None
            raise
        try:
            return msgspec.json.decode(text, type=Application)
        except (msgspec.DecodeError, RecursionError):
            raise DeployError(
                f'The secret {self.name} is not {{"domain": …, "client_id": …, "client_secret": …}}. Correct or delete '
                "it in Secrets Manager."
            ) from None

    def keep(self, application: Application, *, replace: bool) -> None:
        """Create the secret, or ``replace`` its value."""
        text = msgspec.json.encode(application).decode()
        if replace:
            self._client.put_secret_value(SecretId=self.name, SecretString=text)
            return
        what = "auth0-sync: the application that creates and starts the streams"
        self._client.create_secret(Name=self.name, Description=what, SecretString=text)


class _Stopped(msgspec.Struct):
    domain: str = ""
    client_id: str = ""
    ids: dict[Kind, str] = {}


class Stopped:
    """The streams that `init` created and stopped, until a deploy starts them: a file in the deployment's directory.

    A stream that is about to be created has an empty id, so that a run that was killed is seen.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "streams.json"
        self._noted = _Stopped()
        if self._file.exists():
            try:
                self._noted = msgspec.json.decode(self._file.read_bytes(), type=_Stopped)
            except msgspec.DecodeError:
                raise DeployError(f"{self._file} is damaged: delete it, and start the streams by hand.") from None

    @property
    def domain(self) -> str:
        """Return the domain of the streams' tenant."""
        return self._noted.domain

    @property
    def client_id(self) -> str:
        """Return the id of the application that created them."""
        return self._noted.client_id

    def ids(self) -> dict[Kind, str]:
        """Return the id of each stopped stream."""
        return {kind: stream_id for kind, stream_id in self._noted.ids.items() if stream_id}

    def is_unfinished(self, kind: Kind) -> bool:
        """Return whether a stream of this kind was to be created, and is not known to be stopped."""
        return self._noted.ids.get(kind) == ""

    def begin(self, kind: Kind, domain: str, client_id: str) -> None:
        """Note that a stream is about to be created."""
        self._noted.domain, self._noted.client_id = domain, client_id
        self._noted.ids[kind] = ""
        self._write()

    def stopped(self, stream: Stream) -> None:
        """Note that a stream is stopped."""
        self._noted.ids[stream.kind] = stream.id
        self._write()

    def started(self, kind: Kind) -> None:
        """Forget the stream of this kind."""
        self._noted.ids.pop(kind, None)
        self._write()

    def _write(self) -> None:
        if not self._noted.ids:
            self._file.unlink(missing_ok=True)
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.parent.chmod(0o700)
        new = self._file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(self._noted))
        new.replace(self._file)
