"""The sink's own requests to DynamoDB are signed, answered and retried as boto3's are."""

import json
import os
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sinks import dynamodb_requests
from pipeline.sinks.dynamodb_requests import ATTEMPTS, Address, Key, PreparedRequests, Signer, sender
from tests.postgres.test_connect import certificate

KEYS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/+=", min_size=1, max_size=40)
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001 - Hypothesis takes naive ones
PUT: dict[str, Any] = {
    "TableName": "users",
    "Item": {"user_id": {"S": "auth0|ü"}, "n": {"N": "1"}, "m": {"M": {"a": {"L": [{"NULL": True}, {"BOOL": False}]}}}},
    "ConditionExpression": "version < :version",
    "ExpressionAttributeValues": {":version": {"S": "1"}},
    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
}
GET: dict[str, Any] = {"TableName": "users", "Key": {"user_id": {"S": "auth0|ü"}}, "ConsistentRead": True}
STORED = {"user_id": {"S": "auth0|ü"}, "version": {"S": "2"}}
PREFIX = "com.amazonaws.dynamodb.v20120810#"


@given(KEYS, KEYS, st.none() | KEYS, st.binary(), TIMES)
def test_a_request_is_signed_as_botocore_signs_it(
    access_key: str, secret: str, token: str | None, body: bytes, time: datetime
) -> None:
    host, target, now = "dynamodb.eu-west-1.amazonaws.com", "DynamoDB_20120810.PutItem", time.replace(tzinfo=UTC)
    ours = Signer("eu-west-1", host).headers(target, body, Key(access_key, secret, token), now)
    headers = {"Content-Type": dynamodb_requests.CONTENT_TYPE, "X-Amz-Target": target}
    request = AWSRequest("POST", f"https://{host}/", headers, body)
    request.context["timestamp"] = now.strftime("%Y%m%dT%H%M%SZ")
    signer: Any = SigV4Auth(Credentials(access_key, secret, token), "dynamodb", "eu-west-1")
    signer._modify_request_before_signing(request)
    string = signer.string_to_sign(request, signer.canonical_request(request))
    assert ours["authorization"].endswith(f"Signature={signer.signature(string, request)}")
    assert ours["authorization"].startswith(f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, ")


Answer = tuple[int, bytes]


class Server:
    """A DynamoDB with prepared answers, in turn; the last one repeats."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: list[Answer] = []
        self.requests: list[tuple[dict[str, str], Any]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.requests.append(({key.lower(): value for key, value in self.headers.items()}, json.loads(body)))
                status, answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def answer(self, *answers: Answer) -> None:
        self.answers, self.requests = list(answers), []

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with closing(Server()) as server:
        yield server


@pytest.fixture
def boto(server: Server) -> Iterator[Any]:
    retries: Any = {"mode": "standard", "total_max_attempts": ATTEMPTS - 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
        with closing(
            boto3.client(
                "dynamodb",
                region_name="eu-west-1",
                endpoint_url=server.url,
                aws_access_key_id="AKIA1",
                aws_secret_access_key="one",
                config=Config(retries=retries),
            )
        ) as client:
            yield client


@pytest.fixture
def ours(server: Server, boto: Any) -> PreparedRequests:
    return PreparedRequests(address(server), lambda: boto, sender(1), pause=0)


def address(server: Server, *keys: Key) -> Address:
    """Return the server's address; the requests are signed with the keys in turn."""
    turn = cycle(keys or (Key("AKIA1", "one", None),))
    return Address(server.url, "eu-west-1", lambda: next(turn))


def error(code: str, **content: Any) -> Answer:
    return 400, json.dumps({"__type": PREFIX + code, "message": "no", **content}).encode()


OK = (200, b"{}")
FOUND = (200, json.dumps({"Item": STORED}).encode())
DISTURBED = [
    error("ProvisionedThroughputExceededException"),
    error("ThrottlingException"),
    (500, b'{"__type":"InternalServerError"}'),
    (503, b"<html>"),
    (0, b""),
]


def result(call: Any, request: dict[str, Any]) -> Any:
    """Return what a caller sees: the answer without its metadata, or the error's kind, code and item."""
    try:
        answer = dict(call(**request))
    except ClientError as raised:
        return raised.response["Error"]["Code"], raised.response.get("Item"), raised.operation_name
    except BotoCoreError as raised:
        return type(raised)
    answer.pop("ResponseMetadata", None)
    return answer


@pytest.mark.parametrize(
    "answers",
    [
        [OK],
        [FOUND],
        [error("ConditionalCheckFailedException", Item=STORED)],
        [error("ConditionalCheckFailedException")],
        [error("ValidationException")],
        [error("ResourceNotFoundException")],
        [error("AccessDeniedException")],
        [error("ExpiredTokenException")],
        [(200, b"{")],
        [(404, b"")],
        *([disturbed, FOUND] for disturbed in DISTURBED),
        *([disturbed] for disturbed in DISTURBED),
        [DISTURBED[0], error("ConditionalCheckFailedException", Item=STORED)],
    ],
)
@pytest.mark.parametrize("operation", ["put_item", "get_item"])
def test_answers_and_errors_equal_those_of_boto3(
    server: Server, boto: Any, ours: PreparedRequests, operation: str, answers: list[Answer]
) -> None:
    request = GET
    if operation == "put_item":
        request, answers = PUT, [OK if answer == FOUND else answer for answer in answers]
    server.answer(*answers)
    expected = result(getattr(boto, operation), request)
    sent = server.requests
    server.answer(*answers)
    assert result(getattr(ours, operation), request) == expected
    assert all(body == sent[0][1] for _, body in server.requests)
    assert len(server.requests) <= ATTEMPTS


def test_a_success_takes_one_request(server: Server, ours: PreparedRequests) -> None:
    server.answer(OK)
    ours.put_item(**PUT)
    assert len(server.requests) == 1
    headers, body = server.requests[0]
    assert headers["x-amz-target"] == "DynamoDB_20120810.PutItem"
    assert headers["content-type"] == "application/x-amz-json-1.0"
    assert body == PUT


def test_new_credentials_sign_the_next_request(server: Server, boto: Any) -> None:
    keys = Key("AKIA1", "one", "t1"), Key("AKIA2", "two", "t2")
    requests = PreparedRequests(address(server, *keys), lambda: boto, sender(1), pause=0)
    server.answer(OK)
    for _ in range(2):
        requests.put_item(**PUT)
    assert [headers["x-amz-security-token"] for headers, _ in server.requests] == ["t1", "t2"]
    assert [headers["authorization"].split("/")[0].rpartition("=")[2] for headers, _ in server.requests] == [
        "AKIA1",
        "AKIA2",
    ]


IN_LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "sync",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    "AWS_ACCESS_KEY_ID": "AKIA3",
    "AWS_SECRET_ACCESS_KEY": "three",
    "AWS_SESSION_TOKEN": "token",
}


@pytest.mark.parametrize("outside", [{}, {"AWS_LAMBDA_FUNCTION_NAME": ""}, {"AWS_STS_REGIONAL_ENDPOINTS": "regional"}])
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"])
def test_the_endpoint_of_the_environment_is_used(
    server: Server, monkeypatch: pytest.MonkeyPatch, variable: str, outside: dict[str, str]
) -> None:
    for name in [name for name in os.environ if name.upper().endswith(("_PROXY", "_CA_BUNDLE"))]:
        monkeypatch.delenv(name)
    for name, value in (IN_LAMBDA | {variable: server.url} | outside).items():
        monkeypatch.setenv(name, value)
    assert (Address.in_lambda(os.environ) is None) == bool(outside)
    server.answer(FOUND)
    assert PreparedRequests.connect(1).get_item(**GET) == {"Item": STORED}
    assert "Credential=AKIA3/" in server.requests[0][0]["authorization"]
    assert server.requests[0][0]["x-amz-security-token"] == "token"


def test_the_endpoint_of_each_region_is_botocores() -> None:
    """For other regions `in_lambda` leaves the endpoint to botocore."""
    session: Any = botocore.session.Session()
    known = 0
    for partition in session.get_available_partitions():
        for region in session.get_available_regions("dynamodb", partition, allow_non_regional=False):
            found = Address.in_lambda(IN_LAMBDA | {"AWS_DEFAULT_REGION": region})
            client = session.create_client("dynamodb", region, aws_access_key_id="x", aws_secret_access_key="x")
            if found is not None:
                assert found.url == client.meta.endpoint_url
                known += 1
    assert known > 25


@pytest.mark.parametrize(
    "setting",
    [
        {"AWS_PROFILE": "other"},
        {"AWS_CONFIG_FILE": "/opt/config"},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        {"AWS_CA_BUNDLE": "/opt/ca.pem"},
        {"AWS_ACCOUNT_ID": "123456789012"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1"},
        {"AWS_MAX_ATTEMPTS": "1"},
        {"REQUESTS_CA_BUNDLE": "/opt/ca.pem"},
        {"https_proxy": "http://proxy:3128"},
        {"ALL_PROXY": "http://proxy:3128"},
        {"AWS_DEFAULT_REGION": "cn-north-1"},
        {"AWS_DEFAULT_REGION": ""},
        {"AWS_ACCESS_KEY_ID": ""},
        {"AWS_SECRET_ACCESS_KEY": ""},
    ],
)
def test_what_only_botocore_understands_is_left_to_it(setting: dict[str, str]) -> None:
    assert Address.in_lambda(IN_LAMBDA) is not None
    assert Address.in_lambda(IN_LAMBDA | setting) is None


def test_threads_that_need_boto3_at_once_make_one_client(server: Server, boto: Any) -> None:
    made: list[Any] = []

    def make() -> Any:
        made.append(boto)
        return boto

    requests = PreparedRequests(address(server), make, sender(8), pause=0)
    server.answer(*[DISTURBED[1]] * 8, FOUND)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: requests.get_item(**GET), range(8)))
    assert all(answer["Item"] == STORED for answer in answers)
    assert len(made) == 1


def test_a_server_with_an_unknown_certificate_gets_nothing(tmp_path: Path) -> None:
    certificate(tmp_path / "server", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    with closing(Server(context)) as server:
        server.answer(OK)
        assert sender(1)(server.url.replace("http://127.0.0.1", "https://localhost"), {}, b"{}") == (0, b"")
        assert server.requests == []
