"""Connect an Auth0 tenant to an AWS account: streams, credentials, and the file of variables."""

from collections.abc import Mapping
from typing import Annotated

import typer

from pipeline.auth0.streams import Stream, require_source
from pipeline.cli import streams as stream_commands
from pipeline.cli import tenant
from pipeline.cli.app import EXIT_UNHEALTHY, Env, app
from pipeline.cli.progress import Steps
from pipeline.cli.streams import EventStream, LogDays, LogStream, Names, NoEventStream
from pipeline.cli.tenant import Account, ClientId, Domain, Place, PrivateCloud, Region, SourceRegion
from pipeline.cli.terminal import ask, can_ask, console, in_markup
from pipeline.deploy import DeployError, event_sources, variables
from pipeline.deploy.deployment import PLACEHOLDER, Deployment, placeholders
from pipeline.deploy.kept import Application, Stopped

Example = Annotated[
    str, typer.Option(help=f"The example that the file of variables is made from: {', '.join(variables.EXAMPLES)}.")
]
EnvironmentName = Annotated[
    str, typer.Option(help="Part of every name in AWS; by default the environment's name.", show_default=False)
]
AlarmEmail = Annotated[str, typer.Option(help="Address that gets the alarms; it must confirm.")]
Keep = Annotated[
    bool | None,
    typer.Option("--keep-credentials/--no-keep-credentials", help="Keep the credentials in Secrets Manager, or ask."),
]
Seconds = Annotated[float, typer.Option(help="How long to wait for the event sources.")]


@app.command()
def init(
    env: Env,
    domain: Domain = "",
    client_id: ClientId = "",
    private_cloud: PrivateCloud = False,
    region: Region = "",
    source_region: SourceRegion = "",
    account: Account = "",
    log_stream: LogStream = "",
    event_stream: EventStream = "",
    no_event_stream: NoEventStream = False,
    log_days: LogDays = 30,
    keep: Keep = None,
    example: Example = "minimal",
    environment: EnvironmentName = "",
    alarm_email: AlarmEmail = "",
    seconds: Seconds = event_sources.SECONDS,
) -> None:
    """Connect an Auth0 tenant to the AWS account: streams, credentials, and the file of variables that `deploy` takes.

    Creates the Log Stream and the Event Stream in Auth0, paused and disabled, waits for their event sources, and writes
    infra/terraform/environments/NAME.tfvars. Adopts what exists, as it is. `deploy` starts the streams.

    Reads the client secret from AUTH0_CLIENT_SECRET or the secret auth0-sync/NAME, or asks. Exit code 3 if a file of
    variables exists and differs.
    """
    deployment = _deployment(env, example)
    chosen_environment = _environment(deployment, environment)
    place = Place.of(deployment, region, source_region, account)
    names = Names.of(env, log_stream, event_stream, no_event_stream=no_event_stream)
    identity = place.identity
    said = f"AWS: account {identity.account}, region {identity.region}, as {identity.arn}"
    console.print(in_markup(said), highlight=False, soft_wrap=True)
    found = tenant.application(place, domain, client_id, private_cloud=private_cloud)
    alarm_email = _email(deployment, alarm_email)
    with Steps(console) as steps:
        with steps.step("Auth0") as step:
            api = tenant.sign_in(found, step, *names.kinds)
        connected = stream_commands.ensure(api, place, names, found, Stopped(deployment.directory), log_days, steps)
        with steps.step("Event sources") as step:
            sources = [stream.source for stream in connected.streams]
            states = event_sources.wait(place.events(), sources, place=str(place), seconds=seconds, tell=step.update)
            step.update(", ".join(sorted({*states.values()})))
    same = _write(place, connected.streams, chosen_environment, example, alarm_email, found)
    _keep(place, found, keep)
    stream_commands.print_warnings(connected.streams)
    _print_dropped(connected.streams, states, env)
    if connected.without:
        said = f"Without an Event Stream ({connected.without}) the stores miss changes that no log carries. "
        console.print(in_markup(said + "The refresh fetches some of them: docs/deploy.md."), highlight=False)
    if not same:
        raise typer.Exit(EXIT_UNHEALTHY)
    console.print(f"\n[bold]Next[/]\n  make deploy ENV={in_markup(env)}", highlight=False)


@app.command()
def credentials(
    env: Env,
    domain: Domain = "",
    client_id: ClientId = "",
    private_cloud: PrivateCloud = False,
    region: Region = "",
    account: Account = "",
    no_event_stream: NoEventStream = False,
    keep: Keep = None,
) -> None:
    """Check the credentials of an Auth0 application, and keep them in AWS Secrets Manager if you agree.

    The secret is auth0-sync/NAME in the region of the data. Reads the client secret from AUTH0_CLIENT_SECRET, or asks.
    """
    place = Place.of(Deployment.named(env), region, "", account)
    names = Names.of(env, "", "", no_event_stream=no_event_stream)
    found = tenant.application(place, domain, client_id, private_cloud=private_cloud)
    with Steps(console) as steps, steps.step("Auth0") as step:
        tenant.sign_in(found, step, *names.kinds, verbs=stream_commands.UPDATE)
    _keep(place, found, keep)


@app.command()
def tfvars(
    env: Env,
    domain: Domain = "",
    client_id: ClientId = "",
    private_cloud: PrivateCloud = False,
    region: Region = "",
    source_region: SourceRegion = "",
    account: Account = "",
    log_stream: LogStream = "",
    event_stream: EventStream = "",
    no_event_stream: NoEventStream = False,
    example: Example = "minimal",
    environment: EnvironmentName = "",
    alarm_email: AlarmEmail = "",
) -> None:
    """Write an environment's file of variables, by the streams that exist in Auth0.

    Does not overwrite a file: prints what differs, and ends with exit code 3.
    """
    deployment = _deployment(env, example)
    chosen_environment = _environment(deployment, environment)
    place = Place.of(deployment, region, source_region, account)
    names = Names.of(env, log_stream, event_stream, no_event_stream=no_event_stream)
    found = tenant.application(place, domain, client_id, private_cloud=private_cloud)
    alarm_email = _email(deployment, alarm_email)
    with Steps(console) as steps, steps.step("Auth0") as step:
        chosen = stream_commands.find_named(
            tenant.sign_in(found, step, *names.kinds, verbs=stream_commands.READ), place, names, names.kinds
        )
    if not _write(place, chosen, chosen_environment, example, alarm_email, found):
        raise typer.Exit(EXIT_UNHEALTHY)


def _deployment(env: str, example: str) -> Deployment:
    """Return the deployment. Raises DeployError if its file is one of the examples, or still has their placeholders."""
    if example not in variables.EXAMPLES:
        raise typer.BadParameter(f"--example is one of {', '.join(variables.EXAMPLES)}")
    deployment = Deployment.named(env)
    if deployment.variables_file.is_file() and placeholders(deployment.variables_file.read_text()):
        raise DeployError(
            f"{deployment.variables_file.name} is there, and still has {PLACEHOLDER} in place of values of yours. "
            "Replace them, or choose another name."
        )
    return deployment


def _environment(deployment: Deployment, wanted: str) -> str:
    """Return the variable `environment`: the wanted one, or that of a file that exists, or else one by its name."""
    wanted = wanted or variables.read_file(deployment.variables_file).get("environment", "")
    return variables.choose_environment(deployment.name, deployment.environments, wanted)


def _email(deployment: Deployment, address: str) -> str:
    if not address and can_ask() and not deployment.variables_file.is_file():
        address = ask("E-mail address for alarms (empty: none)")
    return variables.check_email(address) if address else ""


def _keep(place: Place, found: Application, keep: bool | None) -> None:
    """Keep the credentials in Secrets Manager, if a person agrees."""
    secret = place.secret()
    there = None if keep is False else secret.read()
    if there == found:
        console.print(f"The secret {in_markup(secret.name)} has the credentials.", highlight=False)
        return
    if keep is None and can_ask():
        question = (
            f"{'Replace' if there else 'Keep'} the credentials in Secrets Manager as {secret.name} (account "
            f"{place.identity.account}, region {place.identity.region}), so that `deploy` can start the streams? "
            "Only 'yes' will be accepted"
        )
        keep = ask(question) == "yes"
    if not keep:
        console.print(
            "The credentials are not kept: `deploy` will ask for the client secret, or read AUTH0_CLIENT_SECRET.",
            highlight=False,
        )
        return
    secret.keep(found, replace=there is not None)
    console.print(f"The secret {in_markup(secret.name)} is {'replaced' if there else 'created'}.", highlight=False)


def _write(
    place: Place, chosen: list[Stream], environment: str, example: str, alarm_email: str, found: Application
) -> bool:
    """Write the file of variables, or compare the one that exists; return whether it is as it should be."""
    for stream in chosen:
        require_source(stream)
    sources = {stream.kind: stream.source for stream in chosen}
    region, source_region = place.identity.region, place.source_region
    values = variables.Values(environment, region, source_region, sources["log"], sources.get("event", ""))
    file = place.deployment.variables_file
    shown = in_markup(file.relative_to(place.deployment.root))
    if file.is_file():
        differences = variables.differences(file.read_text(), values)
        console.print(f"{shown} exists, and {'differs' if differences else 'has these values'}.", highlight=False)
        for difference in differences:
            console.print(f"  [yellow]{in_markup(difference)}[/]", highlight=False, soft_wrap=True)
        return not differences
    text = variables.render(
        (place.deployment.environments / f"{example}.tfvars").read_text(),
        values,
        origin=f"Written by `auth0-sync init --env {place.deployment.name}` from {example}.tfvars, for the tenant\n"
        f"{found.domain} and the AWS account {place.identity.account}. Nothing in it is secret.\n"
        "Change it as you like: `init` never overwrites it.",
        emails=[alarm_email] if alarm_email else [],
        owner=found.domain,
    )
    variables.create(file, text)
    console.print(f"Written: {shown}", highlight=False)
    for number in placeholders(text):
        console.print(f"  [yellow]Line {number} needs a value of yours.[/]", highlight=False)
    return True


def _print_dropped(chosen: list[Stream], states: Mapping[str, str], env: str) -> None:
    """Print the streams that run while EventBridge drops their events."""
    for stream in chosen:
        if stream.runs and states.get(stream.source) == "PENDING":
            said = (
                f"{stream.name} is {stream.status}, and EventBridge drops its events until the deploy. To pause it: "
                f"auth0-sync streams --env {env} --pause"
            )
            console.print(f"[yellow]{in_markup(said)}[/]", highlight=False, soft_wrap=True)
