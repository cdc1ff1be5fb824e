"""Requests to DynamoDB that cost a tenth of the CPU time of boto3's.

boto3 validates and serializes by the service's model, though the sink's items are in DynamoDB's own JSON already.
So the first attempt encodes and signs the request itself. boto3's client makes the others, and raises the errors.
In Lambda it is loaded for the first of them: it is most of what a cold start would load.

Sources: DynamoDB Developer Guide, "DynamoDB low-level API"; IAM User Guide, "Create a signed AWS API request"; Lambda
Developer Guide, "Defined runtime environment variables".
"""

import hashlib
import os
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import botocore
import msgspec
import urllib3
from botocore.exceptions import ClientError

from pipeline import signature

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CONNECT_TIMEOUT = 2.0
READ_TIMEOUT = 5.0
ATTEMPTS = 4
LONGEST_PAUSE = 1.0
"""Longest pause in seconds before the second attempt, as in boto3's standard mode; the pause is a random part."""

CONDITION_FAILED = "ConditionalCheckFailedException"
CONTENT_TYPE = "application/x-amz-json-1.0"

T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(dict[str, Any])


_SETTINGS_OF_LAMBDA = re.compile(
    "AWS_(REGION|DEFAULT_REGION|EXECUTION_ENV|LAMBDA_.+|XRAY_.+|ACCESS_KEY(_ID)?|SECRET_(ACCESS_)?KEY|SESSION_TOKEN"
    "|ENDPOINT_URL(_DYNAMODB)?|DISABLE_HOST_PREFIX_INJECTION)"
)
"""The variables that ``Address.in_lambda`` reads, or that do not concern DynamoDB; botocore handles all others."""
_OTHER_SETTINGS = re.compile("AWS_.+|REQUESTS_CA_BUNDLE|(HTTPS?|ALL|NO)_PROXY", re.IGNORECASE)
_REGION = re.compile(r"(us|us-gov|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d")
"""The regions whose endpoints end in amazonaws.com."""

Send = Callable[[str, Mapping[str, str], bytes], tuple[int, bytes]]
"""Posts a body with headers to a URL, and returns the status, 0 without an answer, and the answer."""


class Key(NamedTuple):
    """An access key of AWS, with a session's token."""

    access_key: str | None
    secret_key: str | None
    token: str | None


class Address(NamedTuple):
    """The address of DynamoDB, and the key that signs the next request."""

    url: str
    region: str
    key: Callable[[], Key]

    @classmethod
    def in_lambda(cls, env: Mapping[str, str]) -> "Address | None":
        """Return the address that botocore would find in a function's environment; None if only botocore can tell."""
        settings = {name for name, value in env.items() if value and _OTHER_SETTINGS.fullmatch(name)}
        key = Key(env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY"), env.get("AWS_SESSION_TOKEN"))
        region = env.get("AWS_DEFAULT_REGION", "")
        known = all(_SETTINGS_OF_LAMBDA.fullmatch(name) for name in settings) and _REGION.fullmatch(region)
        if not (known and "AWS_LAMBDA_FUNCTION_NAME" in settings and key.access_key and key.secret_key):
            return None
        given = env.get("AWS_ENDPOINT_URL_DYNAMODB") or env.get("AWS_ENDPOINT_URL")
        return cls(given or f"https://dynamodb.{region}.amazonaws.com", region, lambda: key)


class Signer:
    """Sign requests to DynamoDB in one region at one host. Keeps the day's key."""

    def __init__(self, region: str, host: str) -> None:
        self._region, self._host = region, host
        self._key: tuple[tuple[str, str], bytes] = (("", ""), b"")

    def headers(self, target: str, body: bytes, credentials: Key, now: datetime) -> Any:
        """Return the headers of a signed POST of ``body`` to ``/``."""
        at = signature.moment(now)
        headers = {"content-type": CONTENT_TYPE, "host": self._host, "x-amz-date": at}
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        headers["x-amz-target"] = target
        signed = ";".join(headers)  # in the order of the alphabet, as the signature demands
        canonical = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = f"POST\n/\n\n{canonical}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
        scope = signature.scope(at, self._region, "dynamodb")
        found = signature.sign(self._signing_key(credentials.secret_key or "", scope), at, scope, request)
        headers["authorization"] = (
            f"{signature.ALGORITHM} Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={found}"
        )
        return headers

    def _signing_key(self, secret: str, scope: str) -> bytes:
        made_for, key = self._key
        if made_for != (secret, scope):
            key = signature.key(secret, scope)
            self._key = ((secret, scope), key)
        return key


class PreparedRequests:
    """``put_item`` and ``get_item`` of a boto3 client, with the same arguments, answers and errors.

    ``client`` makes the client, which makes all attempts after the first, unless that succeeded or failed its
    condition.
    """

    def __init__(
        self, address: Address, client: "Callable[[], DynamoDBClient]", send: Send, pause: float = LONGEST_PAUSE
    ) -> None:
        self._url, self._key = address.url.rstrip("/") + "/", address.key
        self._signer = Signer(address.region, urlsplit(self._url).netloc)
        self._make_client, self._pause = client, pause
        self._made: DynamoDBClient | None = None
        self._making = threading.Lock()
        self.send = send

    @classmethod
    def connect(cls, connections: int) -> Self:
        """Connect to DynamoDB with the settings and credentials that botocore finds, for ``connections`` threads."""
        if address := Address.in_lambda(os.environ):
            return cls(address, lambda: _session_and_client(connections)[1], sender(connections))

        from botocore.exceptions import NoCredentialsError

        session, client = _session_and_client(connections)
        if (credentials := session.get_credentials()) is None:
            raise NoCredentialsError
        address = Address(client.meta.endpoint_url, client.meta.region_name, credentials.get_frozen_credentials)
        return cls(address, lambda: client, _sender_of_botocore(connections, session, address.url))

    def put_item(self, **request: Any) -> Any:
        """Put an item; see boto3."""
        answer = self._first_attempt("PutItem", request, _decoder)
        return self._client().put_item(**request) if answer is None else answer

    def get_item(self, **request: Any) -> Any:
        """Get an item; see boto3."""
        answer = self._first_attempt("GetItem", request, _decoder)
        return self._client().get_item(**request) if answer is None else answer

    def _client(self) -> "DynamoDBClient":
        with self._making:
            if self._made is None:
                self._made = self._make_client()
            return self._made

    def _first_attempt(self, operation: str, request: dict[str, Any], decoder: "msgspec.json.Decoder[T]") -> T | None:
        """Return the answer, or None if boto3 has to try again. Raises ``ClientError`` if the condition failed."""
        body = _encoder.encode(request)
        headers = self._signer.headers(f"DynamoDB_20120810.{operation}", body, self._key(), datetime.now(UTC))
        status, answer = self.send(self._url, headers, body)
        content: dict[str, Any] = {}
        try:
            if status == 200:
                return decoder.decode(answer)
            content = _decoder.decode(answer)
        except msgspec.DecodeError:
            status = 0
        if status == 400 and str(content.get("__type")).endswith(f"#{CONDITION_FAILED}"):
            message = content.get("message", "")
            failed: Any = {"Error": {"Code": CONDITION_FAILED, "Message": message}, **content}
            raise ClientError(failed, operation)
        time.sleep(random.uniform(0, self._pause))  # noqa: S311 - jitter
        return None


def _session_and_client(connections: int) -> tuple[Any, Any]:
    import botocore.session
    from botocore.config import Config

    session = botocore.session.get_session()
    retries: Any = {"mode": "standard", "total_max_attempts": ATTEMPTS - 1}
    timeouts: Any = {"connect_timeout": CONNECT_TIMEOUT, "read_timeout": READ_TIMEOUT}
    config = Config(max_pool_connections=connections, retries=retries, **timeouts)
    return session, session.create_client("dynamodb", config=config)


def sender(connections: int) -> Send:
    """Return a sender that keeps its connections, and trusts the authorities that botocore trusts."""
    pool = urllib3.PoolManager(
        maxsize=connections,
        retries=False,
        timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
        cert_reqs="CERT_REQUIRED",
        ca_certs=str(Path(botocore.__file__).with_name("cacert.pem")),
    )

    def send(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        try:
            answer = pool.request("POST", url, headers=headers, body=body)
        except urllib3.exceptions.HTTPError:
            return 0, b""
        return answer.status, answer.data

    return send


def _sender_of_botocore(connections: int, session: Any, url: str) -> Send:
    """Return a sender with the proxies and the authorities of botocore's settings."""
    from botocore.awsrequest import AWSPreparedRequest
    from botocore.exceptions import BotoCoreError
    from botocore.httpsession import URLLib3Session
    from botocore.utils import get_environ_proxies

    options: Any = {
        "timeout": (CONNECT_TIMEOUT, READ_TIMEOUT),
        "verify": session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or True,
        "proxies": get_environ_proxies(url),
    }
    transport = URLLib3Session(max_pool_connections=connections, **options)

    def send(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        try:
            given: Any = headers
            answer = transport.send(AWSPreparedRequest("POST", url, given, body, stream_output=False))
            return answer.status_code, answer.content
        except BotoCoreError:
            return 0, b""

    return send
