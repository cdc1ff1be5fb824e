"""DynamoDB with bulk puts, which read the emulator's S3 and put into its table; the emulator answers the rest."""

import gzip
import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any

import urllib3
from botocore.exceptions import ClientError

from tests.emulator.support import ACCOUNT, REGION, Aws

Json = dict[str, Any]


class Refused(Exception):
    """An error of DynamoDB: its code and its message."""


class Operation:
    """A bulk put under way."""

    def __init__(self, arn: str, request: Json, lines: list[bytes]) -> None:
        self.arn, self.request, self.left = arn, request, deque(lines)
        self.processed = self.failed = 0
        self.ends_as = ""
        """A status to end with in place of the work."""


class BulkServer:
    """An endpoint of DynamoDB."""

    def __init__(self, aws: Aws) -> None:
        self.aws, self.dynamodb = aws, aws.client("dynamodb")
        self.batch: int | None = None
        """Items to put before each answer about a bulk put; None for all."""
        self.evaluates = True
        """False to ignore conditions."""
        self.keys = {"Item", "ConditionExpression"}
        """The keys that a line may have."""
        self.refuses: tuple[str, str] | None = None
        self.refused_users: set[str] = set()
        self.operations: dict[str, Operation] = {}
        self.started: list[str] = []
        """The tokens of all starts."""
        self.asked: set[str] = set()
        """The operations of all requests."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def start(self, request: Json) -> Json:
        token = request["ClientToken"]
        self.started.append(token)
        if self.refuses:
            raise Refused(*self.refuses)
        if token in self.operations:
            if self.operations[token].request != request:
                raise Refused("IdempotentParameterMismatchException", "the token was used with other parameters")
            return self.describe(self.operations[token], work=False)
        where = request["InputS3Configuration"]
        assert (where["InputFormat"], where["InputCompressionType"]) == ("DYNAMODB_JSON", "GZIP")
        keys = [key for key in self.aws.keys(where["S3Bucket"]) if key.startswith(where["S3KeyPrefix"])]
        bodies = [self.aws.s3.get_object(Bucket=where["S3Bucket"], Key=key)["Body"].read() for key in keys]
        arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{request['TableName']}/bulk/{len(self.operations):08}"
        lines = [line for body in bodies for line in gzip.decompress(body).splitlines()]
        self.operations[token] = Operation(arn, request, lines)
        return self.describe(self.operations[token], work=False)

    def describe(self, operation: Operation, *, work: bool = True) -> Json:
        if work and not operation.ends_as:
            for line in list(islice(operation.left, self.batch)):
                operation.left.popleft()
                operation.processed += 1
                operation.failed += not self._put(operation.request, json.loads(line))
        status = "COMPLETED_WITH_ERRORS" if operation.failed else "COMPLETED"
        found: Json = {
            "BulkOperationArn": operation.arn,
            "BulkOperationStatus": operation.ends_as or ("IN_PROGRESS" if operation.left else status),
            "ProcessedItemCount": operation.processed,
            "FailedItemCount": operation.failed,
        }
        if operation.ends_as:
            found |= {"FailureCode": "S3AccessDenied", "FailureMessage": "no right to read the bucket."}
        return {"BulkOperationDescription": found}

    def _put(self, request: Json, line: Json) -> bool:
        """Put an item; return False for one that DynamoDB reports as an error."""
        if line.keys() - self.keys or line["Item"]["user_id"]["S"] in self.refused_users:
            return False
        condition = {"ConditionExpression": line["ConditionExpression"]} if self.evaluates else {}
        try:
            self.dynamodb.put_item(TableName=request["TableName"], Item=line["Item"], **condition)
        except ClientError as error:
            return error.response["Error"]["Code"] == "ConditionalCheckFailedException"
        return True

    def answer(self, operation: str, request: Json) -> Json | None:
        """Return the answer to a request; None for one that the emulator answers."""
        self.asked.add(operation)
        if operation == "StartBulkPutItems":
            return self.start(request)
        if operation == "DescribeBulkOperation":
            [found] = [one for one in self.operations.values() if one.arn == request["BulkOperationArn"]]
            return self.describe(found)
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server, pool = self, urllib3.PoolManager()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                try:
                    answer = server.answer(self.headers["x-amz-target"].partition(".")[2], json.loads(body))
                except Refused as error:
                    code, message = error.args
                    self._send(400, json.dumps({"__type": f"x#{code}", "message": message}).encode())
                    return
                if answer is not None:
                    self._send(200, json.dumps(answer).encode())
                    return
                passed = pool.request("POST", server.aws.emulator.endpoint, body=body, headers=dict(self.headers))
                self._send(passed.status, passed.data)

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", "application/x-amz-json-1.0")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
