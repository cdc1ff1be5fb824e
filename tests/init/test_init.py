"""The way from a tenant to a deployment: `init`, its parts, and the start of the streams after a deploy."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import hcl2
import pytest

from pipeline.auth0.management import Management
from pipeline.auth0.streams import Streams
from pipeline.cli.streams import start_stopped
from pipeline.deploy import event_sources
from pipeline.deploy.deployment import Deployment
from pipeline.deploy.kept import Stopped
from tests.cli.foreign_world import Output, run
from tests.init.aws import ACCOUNT, Aws
from tests.refresh.management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN, Answer, ManagementApi
from tests.refresh.streams_api import stream

HERE = (ACCOUNT, "eu-central-1")
NAME = "auth0-sync-acme"
SECRET = {"domain": DOMAIN, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


@pytest.fixture(autouse=True)
def _ready(root: Path, shell: pytest.MonkeyPatch) -> None:
    """Skip the commands' waits: their functions have `time.sleep` as a default."""
    for waits in (Management.__init__, Streams.__init__, event_sources.wait):
        defaults: Any = waits.__kwdefaults__
        shell.setitem(defaults, "sleep", lambda _: None)


def init(*arguments: str, **terminal: Any) -> Output:
    return run("init", "--env", "acme", *arguments, **terminal)


def variables(root: Path) -> dict[str, Any]:
    with (root / "infra/terraform/environments/acme.tfvars").open() as file:
        loaded: dict[str, Any] = hcl2.load(file)
    return loaded


def said(output: Output) -> str:
    return " ".join((output.out + output.err).split())


class TestInit:
    def test_makes_everything_that_a_deploy_needs(self, auth0: ManagementApi, aws: Aws, root: Path) -> None:
        aws.page = 1
        output = init("--keep-credentials", "--alarm-email", "ops@example.com")
        assert output.code == 0, output.err
        [log], [event] = auth0.streams.log, auth0.streams.event
        assert (log["name"], log["status"], event["name"], event["status"]) == (NAME, "paused", NAME, "disabled")
        found = variables(root)
        assert found["environment"] == '"acme"'
        assert found["region"] == '"eu-central-1"'
        assert found["alarms"]["emails"] == ['"ops@example.com"']
        sources = {f"{kind}_stream_source_name" for kind in ("log", "event")}
        assert found["auth0"].keys() - {"__comments__", "__is_block__"} == sources
        assert found["auth0"]["log_stream_source_name"] == f'"{log["sink"]["awsPartnerEventSource"]}"'
        assert json.loads(aws.secrets["auth0-sync/acme"]) == SECRET
        assert "make deploy ENV=acme" in output.out

    def test_asks_for_what_nobody_has_named(self, shell: pytest.MonkeyPatch, aws: Aws, root: Path) -> None:
        for name in ("AWS_REGION", "AUTH0_DOMAIN", "AUTH0_CLIENT_ID", "AUTH0_CLIENT_SECRET"):
            shell.delenv(name)
        shell.setattr("getpass.getpass", lambda *_: CLIENT_SECRET)
        answers = ("eu-west-1", f"https://{DOMAIN.upper()}/", CLIENT_ID, "ops@example.com", "yes")
        output = init(on_terminal=True, answer="".join(f"{answer}\n" for answer in answers))
        assert output.code == 0, output.err
        assert variables(root)["region"] == '"eu-west-1"'
        assert variables(root)["alarms"]["emails"] == ['"ops@example.com"']
        assert json.loads(aws.secrets["auth0-sync/acme"]) == SECRET
        assert CLIENT_SECRET not in output.out + output.err
        assert init(on_terminal=True).code == 0, "a second run needs no answer"

    def test_writes_nothing_secret_into_a_file_or_onto_the_terminal(self, root: Path) -> None:
        output = init("--keep-credentials")
        assert CLIENT_SECRET not in output.out + output.err
        files = [path for path in root.rglob("*") if path.is_file()]
        assert any(path.name == "streams.json" for path in files)
        assert [path for path in files if CLIENT_SECRET.encode() in path.read_bytes()] == []

    def test_a_second_run_changes_nothing(self, auth0: ManagementApi, aws: Aws, root: Path) -> None:
        init("--keep-credentials")
        file = root / "infra/terraform/environments/acme.tfvars"
        before, writes, secrets = file.read_bytes(), list(auth0.streams.writes), dict(aws.secrets)
        output = init("--keep-credentials")
        assert output.code == 0, output.err
        assert (file.read_bytes(), auth0.streams.writes, aws.secrets) == (before, writes, secrets)
        assert not {"CreateSecret", "PutSecretValue"} & {*aws.asked[aws.asked.index("CreateSecret") + 1 :]}
        assert "exists, and has these values" in output.out

    def test_existing_streams_are_adopted_as_they_are(self, auth0: ManagementApi, aws: Aws, root: Path) -> None:
        auth0.streams.log.append(stream("log", "mine", *HERE))
        auth0.streams.event.append(stream("event", "mine", *HERE, subscriptions=[{"event_type": "user.created"}]))
        for each in (auth0.streams.log[0]["sink"]["awsPartnerEventSource"],
                     auth0.streams.event[0]["destination"]["configuration"]["aws_partner_event_source"]):  # fmt: skip
            aws.created(*HERE, each)
        output = init("--log-stream", "mine", "--event-stream", "mine")
        assert output.code == 0, output.err
        assert auth0.streams.writes == []
        assert "mine exists, active" in output.out
        assert "does not subscribe to user.updated, user.deleted" in said(output)
        assert "EventBridge drops its events until the deploy" in said(output)
        assert Stopped(root / ".deploy" / "acme").ids() == {}

    @pytest.mark.parametrize("lost", [1, 2])
    def test_a_run_that_was_cut_short_goes_on(self, auth0: ManagementApi, lost: int) -> None:
        """The cut comes after the stream was created, and before it was paused."""
        auth0.lost_answers.extend([Answer(503)] * lost)
        output = init()
        assert output.code == 0, output.err
        assert [len(auth0.streams.log), len(auth0.streams.event)] == [1, 1]
        assert [auth0.streams.log[0]["status"], auth0.streams.event[0]["status"]] == ["paused", "disabled"]

    def test_a_run_that_was_killed_before_the_pause_goes_on(self, auth0: ManagementApi, root: Path, aws: Aws) -> None:
        Stopped(root / ".deploy" / "acme").begin("log", DOMAIN, CLIENT_ID)
        auth0.streams.log.append(stream("log", NAME, *HERE))
        aws.created(*HERE, auth0.streams.log[0]["sink"]["awsPartnerEventSource"])
        assert init().code == 0
        assert auth0.streams.log[0]["status"] == "paused"
        assert Stopped(root / ".deploy" / "acme").ids()["log"] == auth0.streams.log[0]["id"]

    def test_a_stream_that_a_person_has_started_is_not_stopped_again(self, auth0: ManagementApi) -> None:
        init()
        auth0.streams.log[0]["status"] = "active"
        init()
        assert auth0.streams.log[0]["status"] == "active"

    def test_the_event_sources_are_waited_for(self, aws: Aws, shell: pytest.MonkeyPatch) -> None:
        aws.delay = 0.5
        assert init("--seconds", "30").code == 0

    def test_event_sources_that_do_not_come_are_a_message(self, aws: Aws, root: Path) -> None:
        aws.delay = 1000
        output = init("--seconds", "0.1")
        assert output.code == 1
        assert "EventBridge has no event source aws.partner/auth0.com/acme-" in said(output)
        assert f"in account {ACCOUNT}, region eu-central-1" in said(output)
        assert not (root / "infra/terraform/environments/acme.tfvars").exists()
        aws.delay = 0
        aws.sources = dict.fromkeys(aws.sources, ("PENDING", 0.0))
        assert init().code == 0

    def test_a_file_that_differs_is_left_alone(self, auth0: ManagementApi, root: Path) -> None:
        file = root / "infra/terraform/environments/acme.tfvars"
        file.write_text(
            'environment = "acme"\nauth0 = { log_stream_source_name = "aws.partner/auth0.com/x/auth0.logs" }\n'
        )
        before = file.read_bytes()
        output = init()
        assert output.code == 3
        assert file.read_bytes() == before
        assert "log_stream_source_name: the file has 'aws.partner/auth0.com/x/auth0.logs', and `init` would" in said(
            output
        )
        assert "event_stream_source_name: the file has none" in said(output)

    def test_examples_are_not_taken_for_a_deployment(self, auth0: ManagementApi) -> None:
        output = run("init", "--env", "production")
        assert output.code == 1
        assert "production.tfvars is there, and still has CHANGE-ME" in said(output)
        assert auth0.streams.writes == []

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (("--env", "acme", "--environment", "local"), "local.tfvars has the environment 'local' already"),
            (("--env", "..",), "'..' cannot be the name of an environment"),
            (("--env", "123"), "must be 1 to 10 lower-case letters"),
            (("--env", "acme", "--region", 'eu"'), "is not a region of AWS"),
            (("--env", "acme", "--account", "999999999999"), f"are of account {ACCOUNT}, not 999999999999"),
            (("--env", "acme", "--domain", "auth.acme.com"), "does not end in .auth0.com"),
            (("--env", "acme", "--domain", "-"), "does not end in .auth0.com"),
            (("--env", "acme", "--alarm-email", 'a"b@c'), "is not an e-mail address"),
            (("--env", "acme", "--alarm-email", "${a}@c"), "is not an e-mail address"),
        ],
    )  # fmt: skip
    def test_a_wrong_option_changes_nothing(
        self, auth0: ManagementApi, aws: Aws, arguments: tuple[str, ...], problem: str
    ) -> None:
        output = run("init", *arguments)
        assert output.code == 1
        assert problem in said(output)
        assert (auth0.streams.writes, aws.secrets, auth0.token_forms) == ([], {}, [])

    def test_an_unknown_example_changes_nothing(self, auth0: ManagementApi) -> None:
        assert init("--example", "none").code == 2
        assert auth0.streams.writes == []

    def test_a_private_cloud_gets_the_secret_if_a_person_says_so(self, auth0: ManagementApi) -> None:
        output = init("--domain", "login.acme.example", "--private-cloud")
        assert "login.acme.example refused the credentials (401)" in said(output)
        assert auth0.token_forms[0]["audience"] == "https://login.acme.example/api/v2/"

    def test_wrong_credentials_are_a_message(self, shell: pytest.MonkeyPatch, auth0: ManagementApi) -> None:
        shell.setenv("AUTH0_CLIENT_SECRET", "wrong-secret")
        output = init()
        assert output.code == 1
        assert "refused the credentials (401). Check the client id" in said(output)
        assert "wrong-secret" not in said(output)
        assert auth0.streams.writes == []

    def test_missing_scopes_are_named_before_anything_is_made(self, auth0: ManagementApi) -> None:
        auth0.scopes -= {"create:log_streams", "update:event_streams"}
        assert "Management API: create:log_streams, update:event_streams. Add" in said(init())
        assert auth0.streams.writes == []

    def test_without_an_event_stream_its_scopes_are_not_needed(self, auth0: ManagementApi, root: Path) -> None:
        auth0.scopes = {"read:log_streams", "create:log_streams", "update:log_streams"}
        assert init("--no-event-stream").code == 0
        assert "event_stream_source_name" not in variables(root)["auth0"]

    @pytest.mark.parametrize("why", ["plan", "limit"])
    def test_a_plan_without_event_streams_gets_the_log_stream(self, auth0: ManagementApi, root: Path, why: str) -> None:
        auth0.streams.has_event_streams = why != "plan"
        auth0.streams.most["event"] = 0
        output = init()
        assert output.code == 0, output.err
        assert "Without an Event Stream" in said(output)
        assert "403" in said(output)
        assert "refresh" in (root / "infra/terraform/environments/acme.tfvars").read_text()
        assert Stopped(root / ".deploy" / "acme").ids().keys() == {"log"}
        assert init().code == 0

    def test_a_stream_of_the_name_to_elsewhere_is_a_message(self, auth0: ManagementApi) -> None:
        auth0.streams.log.append(stream("log", NAME, "999999999999", "eu-central-1"))
        output = init()
        assert output.code == 1
        assert f"goes to account 999999999999, region eu-central-1, not to account {ACCOUNT}" in said(output)
        assert auth0.streams.writes == []

    def test_a_refused_stream_leaves_no_mark(self, auth0: ManagementApi, root: Path) -> None:
        auth0.streams.most["log"] = 0
        assert init().code == 1
        assert not Stopped(root / ".deploy" / "acme").is_unfinished("log")

    def test_rate_limits_are_waited_for(self, auth0: ManagementApi) -> None:
        auth0.next_answers.extend([Answer(429, headers={"Retry-After": "3"})] * 2)
        assert init().code == 0

    def test_the_archive_begins_as_early_as_the_plan_allows(self, auth0: ManagementApi) -> None:
        auth0.streams.retention = timedelta(days=10)
        output = init()
        assert "until the deploy, with the logs since" in said(output)
        auth0.streams.log.clear()

    def test_another_region_is_written(self, root: Path, auth0: ManagementApi) -> None:
        assert init("--region", "eu-south-1", "--source-region", "eu-west-1").code == 0
        assert auth0.streams.log[0]["sink"]["awsRegion"] == "eu-west-1"
        assert variables(root)["auth0"]["source_region"] == '"eu-west-1"'
        assert variables(root)["region"] == '"eu-south-1"'
        assert init("--region", "").code == 0

    @pytest.mark.parametrize("example", ["minimal", "production", "own-database"])
    def test_each_example_can_be_taken(self, root: Path, example: str) -> None:
        output = init("--example", example)
        assert output.code == 0, output.err
        text = (root / "infra/terraform/environments/acme.tfvars").read_text()
        own = example == "own-database"
        assert ("needs a value of yours" in output.out) is own
        assert text.count("CHANGE-ME") == (1 if own else 0)
        assert text.startswith("# Written by `auth0-sync init --env acme`")
        assert variables(root)["environment"] == '"acme"'


class TestCredentials:
    def test_nothing_is_kept_without_a_persons_yes(self, aws: Aws) -> None:
        output = init()
        assert aws.secrets == {}
        assert "`deploy` will ask for the client secret" in said(output)

    @pytest.mark.parametrize(("answer", "kept"), [("yes", True), ("y", False), ("", False), ("Yes", False)])
    def test_only_yes_is_a_yes(self, aws: Aws, answer: str, kept: bool) -> None:
        output = run("credentials", "--env", "acme", on_terminal=True, answer=f"{answer}\n")
        assert output.code == 0, output.err
        assert bool(aws.secrets) is kept

    @pytest.mark.parametrize("refused", ["CreateSecret", "GetSecretValue"])
    def test_the_file_is_written_where_they_cannot_be_kept(self, aws: Aws, root: Path, refused: str) -> None:
        aws.refused[refused] = "InvalidRequestException"
        assert init("--keep-credentials").code == 1
        assert variables(root)["environment"] == '"acme"'
        assert init("--no-keep-credentials").code == 0

    def test_kept_ones_are_used(self, shell: pytest.MonkeyPatch, aws: Aws) -> None:
        aws.secrets["auth0-sync/acme"] = json.dumps(SECRET)
        for name in ("AUTH0_DOMAIN", "AUTH0_CLIENT_ID", "AUTH0_CLIENT_SECRET"):
            shell.delenv(name)
        assert init().code == 0

    def test_those_of_another_tenant_are_not(self, shell: pytest.MonkeyPatch, aws: Aws) -> None:
        aws.secrets["auth0-sync/acme"] = json.dumps(SECRET | {"domain": "other.eu.auth0.com"})
        shell.delenv("AUTH0_CLIENT_SECRET")
        assert "There is no client secret: set AUTH0_CLIENT_SECRET" in said(init())

    def test_others_replace_them_if_a_person_agrees(self, aws: Aws) -> None:
        aws.secrets["auth0-sync/acme"] = json.dumps(SECRET | {"client_secret": "old"})
        assert "is replaced" in said(run("credentials", "--env", "acme", "--keep-credentials"))
        assert json.loads(aws.secrets["auth0-sync/acme"]) == SECRET

    def test_a_secret_that_may_not_be_read_is_asked_for(self, shell: pytest.MonkeyPatch, aws: Aws) -> None:
        aws.refused["GetSecretValue"] = "AccessDeniedException"
        shell.delenv("AUTH0_CLIENT_SECRET")
        asked = iter([CLIENT_SECRET])
        shell.setattr("getpass.getpass", lambda *_: next(asked))
        output = run("credentials", "--env", "acme", "--no-keep-credentials", on_terminal=True)
        assert output.code == 0, output.err
        assert [*asked] == []
        assert "Client secret of the application (not shown)" in output.out

    @pytest.mark.parametrize("text", ["hello", "{}", "[]", ""])
    def test_an_odd_secret_is_a_message(self, aws: Aws, shell: pytest.MonkeyPatch, text: str) -> None:
        aws.secrets["auth0-sync/acme"] = text
        shell.delenv("AUTH0_CLIENT_SECRET")
        output = init()
        assert output.code == 1
        assert "Correct or delete it in Secrets Manager" in said(output)

    def test_without_a_terminal_missing_answers_are_named(self, shell: pytest.MonkeyPatch) -> None:
        shell.delenv("AUTH0_DOMAIN")
        assert "Give --domain or AUTH0_DOMAIN" in said(init())


class TestStreams:
    def test_shows_them_before_and_after_the_file_exists(self, auth0: ManagementApi) -> None:
        assert "Create it: auth0-sync streams --env acme --create" in said(run("streams", "--env", "acme"))
        init()
        output = run("streams", "--env", "acme", "--json")
        rows = json.loads(output.out)["streams"]
        assert [(row["kind"], row["status"], row["state"]) for row in rows] == [
            ("Log Stream", "paused", "PENDING"),
            ("Event Stream", "disabled", "PENDING"),
        ]
        assert "event source" in run("streams", "--env", "acme", "--show").out

    def test_creates_them_alone(self, auth0: ManagementApi, root: Path) -> None:
        assert run("streams", "--env", "acme", "--create").code == 0
        assert [auth0.streams.log[0]["status"], auth0.streams.event[0]["status"]] == ["paused", "disabled"]
        assert run("tfvars", "--env", "acme").code == 0
        assert variables(root)["environment"] == '"acme"'
        assert run("tfvars", "--env", "acme").code == 0

    def test_starts_only_what_has_a_bus(self, auth0: ManagementApi, aws: Aws) -> None:
        init()
        output = run("streams", "--env", "acme", "--start")
        assert output.code == 1
        assert "EventBridge would drop its events. Deploy first." in said(output)
        aws.activate()
        assert run("streams", "--env", "acme", "--start").code == 0
        assert [auth0.streams.log[0]["status"], auth0.streams.event[0]["status"]] == ["active", "enabled"]
        output = run("streams", "--env", "acme", "--pause")
        assert "Auth0 does not keep its events" in said(output)
        assert [auth0.streams.log[0]["status"], auth0.streams.event[0]["status"]] == ["paused", "disabled"]

    def test_needs_no_permission_that_it_does_not_use(self, auth0: ManagementApi, aws: Aws) -> None:
        init()
        aws.activate()
        auth0.scopes = {f"{verb}:{kind}_streams" for verb in ("read", "update") for kind in ("log", "event")}
        assert run("streams", "--env", "acme", "--start").code == 0
        auth0.scopes = {"read:log_streams", "read:event_streams"}
        assert run("streams", "--env", "acme").code == 0
        assert "update:log_streams" in said(run("streams", "--env", "acme", "--pause"))

    def test_a_file_of_another_tenant_is_a_message(self, root: Path) -> None:
        file = root / "infra/terraform/environments/acme.tfvars"
        file.write_text(
            'environment = "acme"\nauth0 = { log_stream_source_name = "aws.partner/auth0.com/x/auth0.logs" }\n'
        )
        assert "Auth0 has no Log Stream with the event source aws.partner/auth0.com/x/auth0.logs" in said(
            run("streams", "--env", "acme")
        )

    def test_one_thing_at_a_time(self) -> None:
        assert run("streams", "--env", "acme", "--start", "--pause").code == 2


class TestAfterADeploy:
    def outputs(self, auth0: ManagementApi) -> dict[str, Any]:
        log, event = auth0.streams.log[0]["sink"], auth0.streams.event[0]["destination"]["configuration"]
        sources = {"log-stream": log["awsPartnerEventSource"], "event-stream": event["aws_partner_event_source"]}
        return {"region": "eu-central-1", "event_sources": sources}

    def test_starts_what_init_has_stopped(self, auth0: ManagementApi, root: Path) -> None:
        init()
        assert start_stopped(Deployment("acme", root), self.outputs(auth0), healthy=True)
        assert [auth0.streams.log[0]["status"], auth0.streams.event[0]["status"]] == ["active", "enabled"]
        writes = len(auth0.streams.writes)
        assert start_stopped(Deployment("acme", root), self.outputs(auth0), healthy=True)
        assert len(auth0.streams.writes) == writes

    def test_what_a_person_has_paused_stays_so(self, auth0: ManagementApi, root: Path) -> None:
        init()
        start_stopped(Deployment("acme", root), self.outputs(auth0), healthy=True)
        run("streams", "--env", "acme", "--pause")
        assert start_stopped(Deployment("acme", root), self.outputs(auth0), healthy=True)
        assert auth0.streams.log[0]["status"] == "paused"

    def test_the_kept_credentials_are_enough(self, auth0: ManagementApi, root: Path, shell: pytest.MonkeyPatch) -> None:
        init("--keep-credentials")
        for name in ("AUTH0_DOMAIN", "AUTH0_CLIENT_ID", "AUTH0_CLIENT_SECRET"):
            shell.delenv(name)
        assert start_stopped(Deployment("acme", root), self.outputs(auth0), healthy=True)

    def test_without_them_it_says_how_to_start(
        self, auth0: ManagementApi, root: Path, shell: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        init()
        shell.delenv("AUTH0_CLIENT_SECRET")
        assert not start_stopped(Deployment("acme", root), self.outputs(auth0), healthy=True)
        assert "auth0-sync streams --env acme --start" in capsys.readouterr().out
        assert auth0.streams.log[0]["status"] == "paused"

    @pytest.mark.parametrize("problem", ["the secret", "the mark", "AWS"])
    def test_whatever_is_wrong_the_deploy_goes_on(
        self, auth0: ManagementApi, aws: Aws, root: Path, problem: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        init()
        outputs = self.outputs(auth0)
        if problem == "the secret":
            aws.secrets["auth0-sync/acme"] = "odd"
        elif problem == "the mark":
            (root / ".deploy" / "acme" / "streams.json").write_text("odd")
        else:
            aws.refused["GetSecretValue"] = "InternalServiceError"
        assert not start_stopped(Deployment("acme", root), outputs, healthy=True)
        assert "auth0-sync streams --env acme --start" in capsys.readouterr().out

    def test_an_unhealthy_deployment_gets_no_events(self, auth0: ManagementApi, root: Path) -> None:
        init()
        assert not start_stopped(Deployment("acme", root), self.outputs(auth0), healthy=False)
        assert auth0.streams.log[0]["status"] == "paused"

    def test_an_outage_of_auth0_does_not_fail_the_deploy(
        self, auth0: ManagementApi, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        init()
        auth0.next_answers.extend([Answer(503)] * 10)
        assert not start_stopped(Deployment("acme", root), self.outputs(auth0), healthy=True)
        assert "They are not started." in capsys.readouterr().out
        auth0.next_answers.clear()
        assert start_stopped(Deployment("acme", root), self.outputs(auth0), healthy=True)

    def test_a_stream_that_is_gone_or_has_no_bus_is_named(
        self, auth0: ManagementApi, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        init()
        outputs = self.outputs(auth0) | {"event_sources": {"log-stream": "another"}}
        auth0.streams.event.clear()
        assert not start_stopped(Deployment("acme", root), outputs, healthy=True)
        printed = " ".join(capsys.readouterr().out.split())
        assert "The Log Stream is not started: the deployment has no bus for its event source" in printed
        assert "The Event Stream is not started: it was deleted in Auth0." in printed
        assert auth0.streams.log[0]["status"] == "paused"


class TestRedeliver:
    @pytest.fixture(autouse=True)
    def _stream(self, auth0: ManagementApi) -> None:
        init()
        auth0.streams.writes.clear()
        auth0.scopes = {"read:event_streams", "update:event_deliveries"}

    def test_auth0_sends_the_failed_deliveries_of_a_period(self, auth0: ManagementApi) -> None:
        period = ("--since", "2026-01-15T10:00:00.5+01:00", "--until", "2026-01-16")
        assert run("streams", "--env", "acme", "--redeliver", *period).code == 0
        expected = {"date_from": "2026-01-15T09:00:00Z", "date_to": "2026-01-16T00:00:00Z", "statuses": ["failed"]}
        assert auth0.streams.writes == [("POST", "redeliver", expected)]

    def test_a_second_time_does_no_harm_so_an_outage_is_tried_again(self, auth0: ManagementApi) -> None:
        auth0.lost_answers.extend([Answer(503)] * 2)
        output = run("streams", "--env", "acme", "--redeliver")
        assert output.code == 0, output.err
        assert "sends the failed deliveries until" in said(output)
        assert len(auth0.streams.writes) == 3
        assert all(body.keys() == {"statuses", "date_to"} for _, _, body in auth0.streams.writes)

    def test_the_missing_permission_is_named(self, auth0: ManagementApi) -> None:
        auth0.scopes.discard("update:event_deliveries")
        output = run("streams", "--env", "acme", "--redeliver")
        assert output.code == 1
        assert "update:event_deliveries" in said(output)

    @pytest.mark.parametrize(
        "arguments", [("--since", "2h"), ("--redeliver", "--since", "1h", "--until", "2h"), ("--redeliver", "--start"),
                      ("--redeliver", "--since", "2999-01-01")]
    )  # fmt: skip
    def test_a_mistake_asks_nothing_of_auth0(self, auth0: ManagementApi, arguments: tuple[str, ...]) -> None:
        assert run("streams", "--env", "acme", *arguments).code == 2
        assert auth0.streams.writes == []

    def test_a_deployment_without_an_event_stream(self, root: Path) -> None:
        (root / "infra/terraform/environments/acme.tfvars").unlink()
        output = run("streams", "--env", "acme", "--redeliver", "--no-event-stream")
        assert output.code == 1
        assert "has no Event Stream" in said(output)
