"""Requests to DynamoDB that cost a tenth of the CPU time of boto3's.

boto3 validates and serializes by the service's model, though the sink's items are in DynamoDB's own JSON already.
So the first attempt encodes and signs the request itself. boto3 makes the others, and raises the errors.

Sources: DynamoDB Developer Guide, "DynamoDB low-level API"; IAM User Guide, "Create a signed AWS API request".
"""

import hashlib
import os
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import botocore.session
import msgspec
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from pipeline import signature

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials
    from mypy_boto3_dynamodb import DynamoDBClient

CONNECT_TIMEOUT = 2.0
READ_TIMEOUT = 5.0
ATTEMPTS = 4
LONGEST_PAUSE = 1.0
"""Longest pause in seconds before the second attempt, as in boto3's standard mode; the pause is a random part."""

CONDITION_FAILED = "ConditionalCheckFailedException"
CONTENT_TYPE = "application/x-amz-json-1.0"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(dict[str, Any])


class Signer:
    """Sign requests to DynamoDB in one region at one host. Keeps the day's key."""

    def __init__(self, region: str, host: str) -> None:
        self._region, self._host = region, host
        self._key: tuple[tuple[str, str], bytes] = (("", ""), b"")

    def headers(self, target: str, body: bytes, credentials: "ReadOnlyCredentials", now: datetime) -> Any:
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

    ``client`` makes all attempts after the first, unless that succeeded or failed its condition.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        credentials: "Credentials",
        transport: URLLib3Session,
        pause: float = LONGEST_PAUSE,
    ) -> None:
        self._client, self._credentials, self._pause = client, credentials, pause
        self.transport = transport
        self._url = client.meta.endpoint_url.rstrip("/") + "/"
        self._signer = Signer(client.meta.region_name, urlsplit(self._url).netloc)

    def put_item(self, **request: Any) -> Any:
        """Put an item; see boto3."""
        answer = self._first_attempt("PutItem", request)
        return self._client.put_item(**request) if answer is None else answer

    def get_item(self, **request: Any) -> Any:
        """Get an item; see boto3."""
        answer = self._first_attempt("GetItem", request)
        return self._client.get_item(**request) if answer is None else answer

    def _first_attempt(self, operation: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer, or None if boto3 has to try again. Raises ``ClientError`` if the condition failed."""
        body = _encoder.encode(request)
        credentials = self._credentials.get_frozen_credentials()
        headers = self._signer.headers(f"DynamoDB_20120810.{operation}", body, credentials, datetime.now(UTC))
        try:
            answer = self.transport.send(AWSPreparedRequest("POST", self._url, headers, body, stream_output=False))
            content = _decoder.decode(answer.content)
        except (BotoCoreError, msgspec.DecodeError):
            status, content = 0, {}
        else:
            status = answer.status_code
        if status == 200:
            return content
        if status == 400 and str(content.get("__type")).endswith(f"#{CONDITION_FAILED}"):
            message = content.get("message", "")
            failed: Any = {"Error": {"Code": CONDITION_FAILED, "Message": message}, **content}
            raise ClientError(failed, operation)
        time.sleep(random.uniform(0, self._pause))  # noqa: S311 - jitter
        return None


def connect(connections: int) -> PreparedRequests:
    """Connect to DynamoDB with the settings and credentials that botocore finds, for ``connections`` threads."""
    session = botocore.session.get_session()
    credentials = session.get_credentials()
    if credentials is None:
        raise NoCredentialsError
    timeouts: Any = {"connect_timeout": CONNECT_TIMEOUT, "read_timeout": READ_TIMEOUT}
    retries: Any = {"mode": "standard", "total_max_attempts": ATTEMPTS - 1}
    config = Config(max_pool_connections=connections, retries=retries, **timeouts)
    client: Any = session.create_client("dynamodb", config=config)
    options: Any = {
        "timeout": (CONNECT_TIMEOUT, READ_TIMEOUT),
        "verify": session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or True,
        "proxies": get_environ_proxies(client.meta.endpoint_url),
    }
    return PreparedRequests(client, credentials, URLLib3Session(max_pool_connections=connections, **options))
