"""The watch function on the emulator: Athena, DynamoDB, and a queue that is subscribed to its topic."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.errors import BadSettings
from pipeline.functions import watch
from pipeline.settings import Watch
from pipeline.telemetry import handler
from tests.archive import CATALOG, VIEWS
from tests.emulator.support import Aws, name
from tests.emulator.test_athena import Archive
from tests.logs import Json, call, log
from tests.refresh.support import Context

QUESTIONS = {"mfa_weakened": {}, "accounts_under_attack": {"minimum": "3"}}


def unenrolled(user: str) -> Json:
    return log("gd_unenroll", "09:00:00", user_id=user)


@dataclass
class Watched:
    """An archive, and the queue of its watch."""

    aws: Aws
    bucket: str
    queue: str
    monkeypatch: pytest.MonkeyPatch

    def archive(self, *events: Json, days_ago: int = 0) -> None:
        day = (datetime.now(UTC) - timedelta(days=days_ago)).date().isoformat()
        body = "".join(json.dumps(event) + "\n" for event in events).encode()
        self.aws.s3.put_object(Bucket=self.bucket, Key=f"logs/dt={day}/hour=00/{name('o')}.json", Body=body)

    def ask(self, questions: Json) -> None:
        self.monkeypatch.setenv("WATCH_QUESTIONS", json.dumps(questions))

    def run(self) -> dict[str, int]:
        return watch.handler({}, Context(60))

    def messages(self, number: int) -> list[tuple[str, str]]:
        """Subject and text of each message, which must be so many."""
        found = [json.loads(m["Body"]) for m in self.aws.messages(self.queue, number)] if number else []
        assert "Messages" not in self.aws.sqs.receive_message(QueueUrl=self.queue)
        self.aws.sqs.purge_queue(QueueUrl=self.queue)
        return [(one["Subject"], one["Message"]) for one in found]


@pytest.fixture
def watched(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Watched:
    bucket, database = aws.bucket(), name("db").replace("-", "_")
    aws.glue.create_database(DatabaseInput={"Name": database})
    made = Archive(aws, database, bucket, {})
    lines = CATALOG["tables"]["lines"]
    location = f"s3://{bucket}/logs/"
    storage = {
        "Columns": [{"Name": column["name"], "Type": column["type"]} for column in lines["columns"]],
        "Location": location,
        "InputFormat": CATALOG["input_format"],
        "SerdeInfo": {
            "SerializationLibrary": lines["serde"]["library"],
            "Parameters": lines["serde"]["parameters"],
        },
    }
    parameters = {
        "projection.dt.range": "2020-01-01,NOW",
        "storage.location.template": f"{location}dt=${{dt}}/hour=${{hour}}/",
    }
    aws.glue.create_table(
        DatabaseName=database,
        TableInput={
            "Name": "lines",
            "TableType": "EXTERNAL_TABLE",
            "StorageDescriptor": storage,
            "Parameters": CATALOG["parameters"] | parameters,
            "PartitionKeys": [{"Name": key["name"], "Type": key["type"]} for key in CATALOG["partition_keys"]],
        },
    )
    for view, sql in VIEWS.items():
        made.view(view, "\n".join(line for line in sql.splitlines() if not line.strip().startswith("--")))
    workgroup, table = name("workgroup"), name("told")
    aws.athena.create_work_group(
        Name=workgroup, Configuration={"ResultConfiguration": {"OutputLocation": f"s3://{bucket}/results/"}}
    )
    aws.client("dynamodb").create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "finding", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "finding", "AttributeType": "S"}],
    )
    sns = aws.client("sns")
    topic = sns.create_topic(Name=name("topic"))["TopicArn"]
    queue, arn = aws.queue()
    aws.subscribe(topic, queue, arn)
    environment = {
        "AWS_ENDPOINT_URL": aws.emulator.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "WATCH_WINDOW_DAYS": "2",
        "ATHENA_DATABASE": database,
        "ATHENA_WORKGROUP": workgroup,
        "MEMORY_TABLE": table,
        "TOPIC_ARN": topic,
        "DEPLOYMENT": "auth0-sync-test",
        "ENV": "acme",
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    watch.clients.cache_clear()
    found = Watched(aws, bucket, queue, monkeypatch)
    found.ask(QUESTIONS)
    return found


def test_a_finding_is_told_once_and_only_what_is_new_afterwards(watched: Watched) -> None:
    watched.archive(unenrolled("auth0|long-ago"), days_ago=5)
    watched.archive(unenrolled("auth0|ada"), days_ago=1)
    watched.archive(*[log("fp", f"08:0{n}:00", user_name="eve", ip="203.0.113.9") for n in range(3)])
    assert watched.run() == {"mfa_weakened": 1, "accounts_under_attack": 1}
    told = dict(watched.messages(2))
    assert "long-ago" not in told["auth0-sync-test: 1 new: MFA removed or weakened"]
    assert "target_user_id: auth0|ada\n" in told["auth0-sync-test: 1 new: MFA removed or weakened"]
    assert "account: eve\nfailures: 3\n" in told["auth0-sync-test: 1 new: Accounts under attack"]
    assert "auth0-sync ask accounts_under_attack since=" in told["auth0-sync-test: 1 new: Accounts under attack"]
    watched.archive(unenrolled("auth0|bob"))
    assert watched.run() == {"mfa_weakened": 1, "accounts_under_attack": 0}
    [(_, text)] = watched.messages(1)
    assert "auth0|bob" in text
    assert "auth0|ada" not in text


def test_a_question_that_fails_keeps_none_from_being_told_and_is_told_later(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    logged = io.StringIO()
    watched.monkeypatch.setattr(handler, "stream", logged)
    watched.ask({"sms_pumping": {}, "mfa_weakened": {"limit": "1"}, "member_changes": {}})
    watched.archive(unenrolled("auth0|ada"))
    watched.archive(call("post", "/api/v2/organizations/org_1/invitations", {"invitee": {"email": "new@acme.example"}}))
    publish = watch.clients().sns.publish
    with watched.monkeypatch.context() as patch:

        def refuse(**message: Any) -> Any:
            if "Members" in message["Subject"]:
                raise ConnectionError("new@acme.example")
            return publish(**message)

        patch.setattr(watch.clients().sns, "publish", refuse)
        with pytest.raises(watch.QuestionsFailed, match="mfa_weakened, member_changes"):
            watched.run()
    printed = capsys.readouterr().out + logged.getvalue()
    assert "acme.example" not in printed
    assert [line["reason"] for line in map(json.loads, printed.splitlines()) if "reason" in line] == [
        "LimitReached",
        "ConnectionError",
    ]
    [metrics] = [line for line in map(json.loads, printed.splitlines()) if "_aws" in line]
    assert {key: metrics[key] for key in ("QuestionsAsked", "QuestionsFailed", "FindingsTold")} == {
        "QuestionsAsked": [3.0], "QuestionsFailed": [2.0], "FindingsTold": [1.0],
    }  # fmt: skip
    assert len(watched.messages(1)) == 1
    watched.ask({"member_changes": {}})
    assert watched.run() == {"member_changes": 1}


def test_a_run_that_ends_before_it_remembers_tells_again(watched: Watched) -> None:
    watched.archive(unenrolled("auth0|ada"))
    watched.ask({"mfa_weakened": {}})
    with watched.monkeypatch.context() as patch:
        patch.setattr(watch.Run, "_remember", lambda *_: 1 / 0)
        with pytest.raises(watch.QuestionsFailed):
            watched.run()
    assert watched.run() == {"mfa_weakened": 1}
    assert len(watched.messages(2)) == 2
    assert watched.run() == {"mfa_weakened": 0}


def test_two_runs_at_once_tell_once(watched: Watched) -> None:
    watched.archive(unenrolled("auth0|ada"))
    watched.ask({"mfa_weakened": {}})
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: watched.run(), range(4)))
    assert sum(answer.get("mfa_weakened", 0) for answer in answers) == 1
    assert len(watched.messages(1)) == 1


def test_a_run_that_was_killed_gives_way_when_its_time_is_over(watched: Watched) -> None:
    watched.archive(unenrolled("auth0|ada"))
    watched.ask({"mfa_weakened": {}})
    holder = {"finding": {"S": watch.LEASE}, "holder": {"S": "killed"}}
    for expires, told in (
        (datetime.now(UTC) + timedelta(minutes=1), {}),
        (datetime.now(UTC) - timedelta(seconds=2), 1),
    ):
        ends = {"expires_at": {"N": str(int(expires.timestamp()))}}
        watched.aws.client("dynamodb").put_item(TableName=Watch.from_env().memory_table, Item=holder | ends)
        assert watched.run() == ({"mfa_weakened": told} if told else {})


def test_what_a_question_compares_with_is_no_news(watched: Watched) -> None:
    watched.ask({"new_country": {}})
    places = {"NL": 10, "BR": 5, "JP": 0}
    for country, days in places.items():
        watched.archive(
            log("s", "09:00:00", user_id="auth0|ada", location_info={"country_code": country}), days_ago=days
        )
    watched.run()
    [(subject, text)] = watched.messages(1)
    assert subject == "auth0-sync-test: 1 new: Logins from a new country"
    assert "country: JP\n" in text


@pytest.mark.parametrize(
    ("questions", "problem"),
    [
        ({"no_such": {}}, "there is no question 'no_such'"),
        ({"signups": {}}, "signups cannot be watched"),
        ({"admin_actions": {}}, "admin is missing"),
        ({"mfa_weakened": {"limit": "many"}}, "limit is not a whole number"),
        ({"mfa_weakened": {"since": "2026-01-01"}}, "since follows"),
    ],
)
def test_a_wrong_setting_says_which(questions: Json, problem: str) -> None:
    environment = dict.fromkeys(
        ("ATHENA_DATABASE", "ATHENA_WORKGROUP", "MEMORY_TABLE", "TOPIC_ARN", "DEPLOYMENT", "ENV"), "x"
    )
    settings = Watch.from_env(environment | {"WATCH_WINDOW_DAYS": "2", "WATCH_QUESTIONS": json.dumps(questions)})
    with pytest.raises(BadSettings, match=problem):
        watch.load(settings)
