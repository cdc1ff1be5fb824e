"""An AWS, a Terraform and a terminal in which every text that can be foreign is an attacker's."""

import base64
import gzip
import io
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError
from botocore.httpsession import URLLib3Session
from botocore.response import StreamingBody
from hypothesis import strategies as st
from rich.color import ColorSystem

from pipeline.archive import manifest
from pipeline.archive.manifest import Entry, Manifest
from pipeline.cli import main, terminal
from tests.deploy.support import NAMES_PROVIDERS
from tests.manifest.bucket import KEY_ARN, PUBLIC_KEY, sign
from tests.strategies import text as event_text
from tests.strategies import updated, user

SPECIAL = (
    "\x1b]52;c;ZXZpbA==\x07", "\x1b]52;c;ZXZpbA==\x1b\\", "\x1b]8;;https://evil.example\x1b\\", "\x1b]0;evil\x07",
    "\x1b[8m", "\x9b8m", "\x1b[2J", "\x1b[9A", "\x9d0;evil\x9c", "\x90q\x9c",
    *map(chr, (0, 7, 8, 9, 10, 11, 12, 13, 0x7F, 0x80, 0x85, 0x9B, 0x9F)),
    *"\xad\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\u200c\u200d",
    "\U000e0041", "\U000e007f", "\ud800", "\udfff", "\udc9b",
    "[red]", "[/]", "[/red]", "[link=https://evil.example]", "[bold", "\\[", "\\", "[blink]", "[@click=x]", ":smile:",
    "<script>", "&#27;", "**b**", "[a](https://evil.example)", "`",
    "=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "'=1", '"=1', " =1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201",
    '"', "'", ",", ";", "{}", "{0}", "%s", "NULL", "null",
)  # fmt: skip
FOREIGN = st.lists(
    st.one_of(st.sampled_from(SPECIAL), st.characters(exclude_categories=())), min_size=1, max_size=12
).map("".join)
"""Text with what is special to a terminal, to Rich, to Markdown and HTML, to CSV or to a spreadsheet."""

BIDIRECTIONAL = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_COLOURS = re.compile(r"\x1b\[(?:[0-7]|9|3[0-7]|9[0-7]|[0-9;]*;5;[0-9]+)?(?:;(?:[0-7]|3[0-7]|9[0-7]))*m")
"""Rich's codes for the styles of the commands, without concealed text."""
_LIVE = re.compile(r"\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r")
"""Rich's codes for lines that change."""


def controls(printed: str, keep: str = "\n") -> list[str]:
    """Return an output's invisible characters, and those that change the characters around them."""
    return [
        character
        for character in printed
        if character not in keep
        and (unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in BIDIRECTIONAL)
    ]


class Screen(io.StringIO):
    """A terminal, or a pipe."""

    encoding = "utf-8"

    def __init__(self, terminal: bool) -> None:
        super().__init__(newline="")
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@dataclass
class Output:
    """A command's output."""

    out: str
    err: str
    code: int

    def require_harmless(self, *, live: bool, csv: bool = False) -> None:
        """Assert that only Rich's own colours and moving lines control the terminal."""
        for printed in (self.out, self.err):
            printed.encode()
            seen = _COLOURS.sub("", _LIVE.sub("", printed)) if live else printed
            if csv:
                seen = seen.replace("\r\n", "\n")
            assert controls(seen, "\n\t") == [], seen


def run(*arguments: str, on_terminal: bool = False, answer: str = "") -> Output:
    """Run a command line."""
    out, err = Screen(on_terminal), Screen(on_terminal)
    before, colours = (sys.argv, sys.stdin), terminal.console._color_system
    sys.argv, sys.stdin = ["auth0-sync", *arguments], Screen(on_terminal)
    sys.stdin.write(answer)
    sys.stdin.seek(0)
    for console in (terminal.console, terminal.errors):
        console._color_system = ColorSystem.TRUECOLOR if on_terminal else None
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv, sys.stdin = before
        for console in (terminal.console, terminal.errors):
            console._color_system = colours
    return Output(out.getvalue(), err.getvalue(), ended.value.code if isinstance(ended.value.code, int) else 0)


DAY = date(2026, 1, 15)
MIDNIGHT = datetime(2026, 1, 15, tzinfo=UTC)
MANIFEST = manifest.key(DAY, 0)
DEEPEST = 8
"""Levels of an answer."""


class ForeignAws:
    """Answers each request by its model in botocore: every text in the answer is foreign."""

    def __init__(self) -> None:
        self.text = ""
        self.error: Callable[[str, str], Exception] | None = None
        """Makes the error to raise in place of an answer, from the text and the operation."""

    def call(self, client: Any, operation: str, arguments: Any) -> Any:
        if self.error is not None:
            raise self.error(self.text, operation)
        known = getattr(self, f"answer_{xform_name(operation)}", None)
        model = client.meta.service_model.operation_model(operation)
        answer = self._made(model.output_shape) if model.output_shape else {}
        return answer | known(arguments) if known else answer

    def _made(self, shape: Any, depth: int = 0) -> Any:
        if depth > DEEPEST:  # some shapes contain themselves
            return None
        match shape.type_name:
            case "structure":
                members = {
                    one: member for one, member in shape.members.items() if not re.search("token|marker", one, re.I)
                }
                if shape.is_tagged_union:
                    members = dict([next(iter(members.items()))])
                return {one: self._made(member, depth + 1) for one, member in members.items()}
            case "list":
                return [self._made(shape.member, depth + 1)]
            case "map":
                return {self.text: self._made(shape.value, depth + 1)}
            case "string":
                return shape.enum[0] if shape.enum else self.text
            case "timestamp":
                return MIDNIGHT
            case "blob":
                return self.text.encode(errors="replace")
            case "boolean":
                return False
            case _:
                return 1

    # Athena

    def answer_get_query_execution(self, arguments: Any) -> Any:
        return {"QueryExecution": {"Status": {"State": "SUCCEEDED"}, "Statistics": {"DataScannedInBytes": 1}}}

    def answer_get_query_results(self, arguments: Any) -> Any:
        columns = [{"Name": self.text, "Type": "varchar"}, {"Name": "n", "Type": "double"}]
        row = {"Data": [{"VarCharValue": self.text}, {"VarCharValue": "-1.5"}]}
        return {"ResultSet": {"ResultSetMetadata": {"ColumnInfo": columns}, "Rows": [row]}}

    # The Data API and DynamoDB

    def answer_execute_statement(self, arguments: Any) -> Any:
        if "AS tombstones" in arguments["sql"]:
            columns = [{"label": name, "typeName": "int8"} for name in ("live", "tombstones", "history", "acted")]
            return {"columnMetadata": columns, "records": [[{"longValue": 1}] * 4]}
        if "max(user_id)" in arguments["sql"]:
            last = {"stringValue": "auth0|2"} if "decode('', 'hex')" in arguments["sql"] else {"isNull": True}
            return {"columnMetadata": [{"label": "last", "typeName": "text"}], "records": [[last]]}
        if "AS hashed" in arguments["sql"]:
            return {"columnMetadata": [], "records": []}
        if "jsonb_array_elements_text" in arguments["sql"]:
            return self._rows_of_reconcile()
        user: dict[str, str] = {"user_id": "auth0|1", "version": "0" * 60, "source": self.text, "event_id": self.text}
        profile = json.dumps({"name": self.text})
        names = [*user, "deleted_at", "profile", self.text]
        values: list[Any] = [{"stringValue": value} for value in user.values()]
        values += [{"booleanValue": True}, {"stringValue": profile}, {"stringValue": self.text}]
        kinds = ["text"] * 4 + ["bool", "jsonb", "text"]
        columns = [{"label": name, "typeName": kind} for name, kind in zip(names, kinds, strict=True)]
        later = "decode('')" not in arguments["sql"] and "convert_from" in arguments["sql"]
        return {"columnMetadata": columns, "records": [] if later else [values]}

    def _rows_of_reconcile(self) -> Any:
        """A row of the same user as that of the scan, of an older version."""
        texts = {"user_id": self._well_formed, "version": "", "source": self.text, "event_id": self.text}
        values: dict[str, Any] = {name: {"stringValue": value} for name, value in texts.items()}
        values |= {"deleted": {"booleanValue": False}, "synced_at": {"stringValue": "2026-01-15 00:00:00"}}
        values |= {name: {"stringValue": "{}"} for name in ("profile", "user_metadata", "app_metadata")}
        values["carried"] = {"isNull": True}
        kinds = {"synced_at": "timestamptz"}
        columns = [{"label": name, "typeName": kinds.get(name, "text")} for name in values]
        return {"columnMetadata": columns, "records": [list(values.values())]}

    @property
    def _item(self) -> Any:
        text = self._well_formed
        names = ("user_id", "version", "source", "event_id")
        documents = {name: {"M": {text: {"S": text}}} for name in ("profile", "user_metadata", "app_metadata")}
        return {name: {"S": text} for name in names} | documents

    def answer_scan(self, arguments: Any) -> Any:
        return {"Items": [self._item], "LastEvaluatedKey": {}}

    def answer_batch_get_item(self, arguments: Any) -> Any:
        [table] = arguments["RequestItems"]
        return {"Responses": {table: [self._item]}, "UnprocessedKeys": {}}

    def answer_get_item(self, arguments: Any) -> Any:
        return {
            "Item": {
                "user_id": {"S": self.text},
                "version": {"S": self.text},
                "profile": {"M": {self.text: {"S": self.text}}},
            }
        }

    def answer_get_secret_value(self, arguments: Any) -> Any:
        kept = {"domain": "acme.eu.auth0.com", "client_id": self._well_formed, "client_secret": "s3cret"}
        return {"SecretString": json.dumps(kept)}

    # The account, queues, logs, functions

    def answer_get_caller_identity(self, arguments: Any) -> Any:
        return {"Account": "123456789012", "Arn": self.text}

    def answer_get_queue_attributes(self, arguments: Any) -> Any:
        names = ("", "NotVisible", "Delayed")
        return {
            "Attributes": {"MaximumMessageSize": "1024", "VisibilityTimeout": "30"}
            | {f"ApproximateNumberOfMessages{n}": "999" for n in names}
        }

    def _event(self) -> str:
        """Return an event about a user of this name, as SQS and S3 have it: without lone surrogates."""
        return event_text(updated(user("auth0|1", name=self._well_formed)))

    @property
    def _well_formed(self) -> str:
        """Return the text without lone surrogates, which no answer in UTF-8 has."""
        return self.text.encode(errors="replace").decode()

    def answer_receive_message(self, arguments: Any) -> Any:
        body = self._event()
        system = {"SentTimestamp": "0", "ApproximateReceiveCount": "2"}
        attributes = {"ERROR_CODE": {"StringValue": self.text}, "RULE_ARN": {"StringValue": f"rule/{self.text}"}}
        message = {"MessageId": "m", "ReceiptHandle": "r", "Body": body, "Attributes": system}
        return {"Messages": [message | {"MessageAttributes": attributes}]}

    def answer_send_message_batch(self, arguments: Any) -> Any:
        return {
            "Successful": [],
            "Failed": [{"Id": "0", "Code": self.text, "SenderFault": False, "Message": self.text}],
        }

    def answer_delete_message_batch(self, arguments: Any) -> Any:
        return {"Successful": [{"Id": "0"}], "Failed": []}

    def answer_filter_log_events(self, arguments: Any) -> Any:
        line = json.dumps({"message_id": "m", "reason": self.text, "x": self.text}, ensure_ascii=False)
        return {"events": [{"message": line}, {"message": json.dumps({"message_id": "m", "reason": self.text})}]}

    def answer_invoke(self, arguments: Any) -> Any:
        said = json.dumps({"errorType": self.text, "errorMessage": self.text}).encode()
        log = base64.b64encode(self.text.encode(errors="surrogatepass")).decode()
        return {"FunctionError": "Unhandled", "Payload": io.BytesIO(said), "LogResult": log}

    # S3, the archive's key and Firehose

    def answer_list_objects_v2(self, arguments: Any) -> Any:
        if arguments["Prefix"].startswith("exports/"):
            keys = [f"{arguments['Prefix']}{name}" for name in ("000001.json", self._well_formed)]
            return {"IsTruncated": False, "Contents": [{"Key": key} for key in keys]}
        return {"IsTruncated": False, "Contents": [{"Key": f"logs/dt=2026-01-15/hour=09/{self.text}.gz"}]}

    def answer_list_object_versions(self, arguments: Any) -> Any:
        below = arguments["Prefix"] + self._well_formed
        answer = {"IsTruncated": False, "CommonPrefixes": [], "Versions": [], "DeleteMarkers": []}
        if "Delimiter" in arguments:
            return answer | {
                "CommonPrefixes": [{"Prefix": f"{one}/"} for one in (below, f"{arguments['Prefix']}dt={DAY}")]
            }
        keys = [MANIFEST, below] if MANIFEST.startswith(arguments["Prefix"]) else [below]
        facts = {"VersionId": self._well_formed, "IsLatest": False, "LastModified": MIDNIGHT, "Size": 1}
        return answer | {"Versions": [{"Key": key} | facts for key in keys]}

    def answer_get_object(self, arguments: Any) -> Any:
        if arguments["Key"] == MANIFEST:
            return {"Body": self._body(self._manifest())}
        if arguments["Key"] == "exports/x/export.json":
            export = {"export_id": self._well_formed, "taken_at": "2026-01-15T09:00:00.000000Z"}
            return {"Body": self._body(json.dumps({"export": export, "slices": 2, "users": 2}).encode())}
        if arguments["Key"].startswith("exports/"):
            refused = {"loaded": {"rows": 1, "refused": 1}, "refused": {self._well_formed: self._well_formed}}
            return {"Body": self._body(json.dumps(refused).encode())}
        event = self._event()
        raw = base64.b64encode(event.encode()).decode()
        lines = [event, json.dumps({"errorCode": self.text, "rawData": raw}), self.text]
        if self.rearchiving:
            lines = lines[1:2]
        return {"Body": self._body(gzip.compress("\n".join(lines).encode(errors="replace"), compresslevel=1))}

    def _manifest(self) -> bytes:
        """Return a manifest, signed by the deployment, that lists an object with other bytes and one that is gone."""
        header = Manifest(
            deployment=self._well_formed, bucket="b", day=DAY, part=0, complete=True, listed_at=MIDNIGHT,
            previous=None, expire_after_days=None, objects=2,
        )  # fmt: skip
        keys = (f"logs/dt={DAY}/{self._well_formed}", f"logs/dt={DAY}/gone{self._well_formed}")
        return manifest.write(
            header, [Entry(key, self._well_formed, 1, "0" * 64, MIDNIGHT) for key in keys], sign, KEY_ARN
        )

    def _body(self, content: bytes) -> StreamingBody:
        return StreamingBody(io.BytesIO(content), len(content))

    def answer_get_public_key(self, arguments: Any) -> Any:
        return {"PublicKey": PUBLIC_KEY}

    rearchiving = False

    def answer_put_record_batch(self, arguments: Any) -> Any:
        return {"RequestResponses": [{"ErrorCode": self.text, "ErrorMessage": self.text}]}


def _unreachable(session: Any, request: Any) -> Any:
    raise EndpointConnectionError(endpoint_url=request.url)


@contextmanager
def foreign_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForeignAws]:
    """Replace the requests of every client."""
    world = ForeignAws()
    monkeypatch.setattr(URLLib3Session, "send", _unreachable)  # of those who do not call boto3 at first
    monkeypatch.setattr(BaseClient, "_make_api_call", lambda *request: world.call(*request))  # noqa: PLW0108 - a method would not get the client
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    yield world


TERRAFORM = (
    f"""\
#!/bin/sh
{NAMES_PROVIDERS}
"""
    """\
case "$*" in
version*) echo '{"terraform_version": "1.11.4"}';;
*" init "*) mkdir -p "$HERE/../.deploy/prod/.terraform"; test ! -e "$HERE/no-init" || { cat "$HERE/raw" >&2; exit 1; };;
*" console "*) cat "$HERE/console";;
*"state pull") cat "$HERE/state";;
*" plan "*) touch "$HERE/../.deploy/prod/plan.tfplan"; cat "$HERE/plan"; test ! -e "$HERE/no-plan";;
*" apply "*) cat "$HERE/apply"; test ! -e "$HERE/no-apply";;
esac
"""
)


class ForeignTerraform:
    """A program `terraform` whose addresses, outputs and errors are foreign."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._here = root / "bin"
        self._here.mkdir()
        program = self._here / "terraform"
        program.write_text(TERRAFORM)
        program.chmod(0o700)
        monkeypatch.setenv("TERRAFORM", str(program))
        monkeypatch.setenv("HERE", str(self._here))
        monkeypatch.delenv("TF_PLUGIN_MIRROR", raising=False)

    def says(self, text: str, outputs: Any, settings: Any, fails: str = "") -> None:
        for file in self._here.glob("no-*"):
            file.unlink()
        if fails:
            (self._here / f"no-{fails}").touch()
        address = f'module.auth0_sync.aws_sqs_queue.q["{text}"]'
        error = {
            "type": "diagnostic",
            "diagnostic": {"severity": "error", "summary": text, "detail": text, "address": text},
        }
        warning = {"type": "diagnostic", "diagnostic": {"severity": "warning", "summary": text, "detail": text}}
        hooks = [
            {"type": f"apply_{kind}", "hook": {"action": "delete", "resource": {"addr": address}}}
            for kind in ("start", "progress", "complete")
        ]
        kinds = {f'module.auth0_sync.module.a["{text}"].aws_s3_bucket.b': "aws_s3_bucket", address: "aws_sqs_queue"}
        changes: list[Any] = [
            {"action": action, "reason": text, "resource": {"addr": one, "resource_type": kind}}
            for action in ("create", "update", "delete")
            for one, kind in kinds.items()
        ]
        changes = [{"type": "planned_change", "change": change} for change in changes]
        self._write("plan", *([error] if fails == "plan" else [warning, *changes]))
        self._write("apply", *hooks, *([error] if fails == "apply" else []))
        module = {"module": "module.auth0_sync", "mode": "managed"}
        resources = [
            module | {"type": "aws_sqs_queue", "name": "q", "instances": [{"index_key": text}]},
            module | {"type": "aws_lambda_function", "name": "f", "instances": [{}]},
        ]
        values = {name: {"value": value} for name, value in outputs.items()}
        self._write("state", {"version": 4, "outputs": values, "resources": resources})
        (self._here / "console").write_text(json.dumps(_json(settings)) + "\n")
        (self._here / "raw").write_bytes(text.encode(errors="surrogatepass") + b"\xff\n")

    def _write(self, name: str, *messages: Any) -> None:
        (self._here / name).write_text("".join(_json(message) + "\n" for message in messages))


def _json(value: Any) -> str:
    """Return JSON as a program in Go writes it: no string of Go's has a lone surrogate."""
    return json.dumps(json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace")))
