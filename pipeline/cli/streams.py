"""The Log Stream and the Event Stream of an environment: show, create, pause and start them, redeliver events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table

from pipeline.auth0.streams import REDELIVER, TITLES, VERBS, Kind, Stream, Streams, Unavailable, Verb
from pipeline.cli import aws, tenant
from pipeline.cli.app import AsJson, Env, app, print_json
from pipeline.cli.progress import Steps
from pipeline.cli.tenant import Account, ClientId, Domain, Place, PrivateCloud, Region, SourceRegion
from pipeline.cli.terminal import cell, console, errors, in_markup
from pipeline.cli.times import past
from pipeline.deploy import DeployError, connect
from pipeline.deploy.connect import Connected, Connection, Started, Wanted
from pipeline.deploy.deployment import Deployment
from pipeline.deploy.kept import Application, Secret, Stopped
from pipeline.deploy.variables import read_file
from pipeline.errors import Auth0SyncError
from pipeline.progress import Progress

LogStream = Annotated[str, typer.Option(help="Name of the Log Stream.", show_default="auth0-sync-NAME")]
EventStream = Annotated[str, typer.Option(help="Name of the Event Stream.", show_default="auth0-sync-NAME")]
NoEventStream = Annotated[bool, typer.Option("--no-event-stream", help="Neither create nor use an Event Stream.")]
LogDays = Annotated[
    int, typer.Option(min=0, max=30, help="Days of past logs to archive, as far as the plan keeps them; 0: none.")
]

READ: Final[tuple[Verb, ...]] = ("read",)
UPDATE: Final[tuple[Verb, ...]] = ("read", "update")

_LOSES: Final[dict[Kind, str]] = {
    "log": "Auth0 keeps its logs for as long as the plan does, and delivers them after a start.",
    "event": "Auth0 does not keep its events: after a start, `auth0-sync catch-up` reads them from its Events API.",
}


@dataclass(frozen=True)
class Names:
    """The names of an environment's streams in Auth0."""

    log: str
    event: str
    """Empty for none."""

    @classmethod
    def of(cls, env: str, log_stream: str, event_stream: str, *, no_event_stream: bool) -> "Names":
        """Return the names of the options, or else those of the environment."""
        default = connect.NAME.format(env)
        return cls(log_stream or default, "" if no_event_stream else event_stream or default)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Return the kinds of streams to have."""
        return ("log", "event") if self.event else ("log",)


@app.command()
def streams(
    env: Env,
    show: Annotated[bool, typer.Option("--show", help="Show them; the default.")] = False,
    create: Annotated[bool, typer.Option("--create", help="Create those that are missing, stopped.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Pause the Log Stream, disable the Event Stream.")] = False,
    start: Annotated[bool, typer.Option("--start", help="Start them, if their event sources have buses.")] = False,
    redeliver: Annotated[
        bool, typer.Option("--redeliver", help="Let Auth0 send the failed deliveries of the Event Stream again.")
    ] = False,
    since: Annotated[str, typer.Option(help="With --redeliver: 2h, or 2026-11-22T08:00:00Z; default: all.")] = "",
    until: Annotated[str, typer.Option(help="With --redeliver: the end, in the same form; default: now.")] = "",
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
    as_json: AsJson = False,
) -> None:
    """Show, create, pause or start the Log Stream and the Event Stream in Auth0, or redeliver its failed events.

    They are those whose event sources the file of variables names, or else those of the names. The credentials come
    from AUTH0_DOMAIN, AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET, from the secret auth0-sync/NAME, or from you.
    """
    if sum((show, create, pause, start, redeliver)) > 1:
        raise typer.BadParameter("one of --show, --create, --pause, --start and --redeliver")
    if (since or until) and not redeliver:
        raise typer.BadParameter("--since and --until are for --redeliver")
    period = _period(since, until)
    deployment = Deployment.named(env)
    place = Place.of(deployment, region, source_region, account)
    names = Names.of(env, log_stream, event_stream, no_event_stream=no_event_stream)
    verbs = VERBS if create else UPDATE if pause or start else READ
    kinds = names.kinds if create else tuple(_sources(deployment)) or names.kinds
    if redeliver:
        kinds = tuple(kind for kind in kinds if kind == "event")
        if not kinds:
            raise DeployError(f"{deployment.name} has no Event Stream, and a Log Stream keeps no failed deliveries.")
    found = tenant.application(place, domain, client_id, private_cloud=private_cloud)
    stopped = Stopped(deployment.directory)
    with Steps(errors if as_json else console) as steps:
        with steps.step("Auth0") as step:
            api = tenant.sign_in(found, step, *kinds, verbs=verbs, more=(REDELIVER,) if redeliver else ())
        if create:
            chosen = ensure(api, place, names, found, stopped, log_days, steps).streams
        else:
            chosen = find(api, place, names, kinds)
        sources = tenant.in_buses(place.events(), chosen)
        if pause or start:
            chosen = [_set(api, stream, stopped, sources, steps, runs=start) for stream in chosen]
        if redeliver:
            _redeliver(api, chosen, period, steps)
    _print(chosen, sources, as_json=as_json)


def _period(since: str, until: str) -> tuple[datetime | None, datetime | None]:
    now = datetime.now(UTC)
    begin, end = (past(text, now) if text else None for text in (since, until))
    if begin and end and begin >= end:
        raise typer.BadParameter("--since is not before --until")
    return begin, end


def _redeliver(
    api: Streams, chosen: list[Stream], period: tuple[datetime | None, datetime | None], steps: Progress
) -> None:
    with steps.step("Redeliver") as step:
        for stream in chosen:
            begin, end = api.redeliver(stream, *period)
            step.update(
                f"{stream.name}: Auth0 sends the failed deliveries {f'from {begin} ' if begin else ''}until {end} "
                "again, as far as it keeps them. It does not say how many."
            )


def ensure(
    api: Streams, place: Place, names: Names, found: Application, stopped: Stopped, log_days: int, steps: Progress
) -> Connected:
    """Create or adopt the streams."""
    wanted = Wanted(place.identity.account, place.source_region, names.log, names.event, log_days)
    return Connection(api, stopped, found.domain, found.client_id).make(wanted, steps)


def find(api: Streams, place: Place, names: Names, kinds: Iterable[Kind]) -> list[Stream]:
    """Return the streams of some kinds: those whose event sources the file of variables names, or else by name."""
    sources = _sources(place.deployment)
    if not sources:
        return find_named(api, place, names, kinds)
    chosen = []
    for kind in kinds:
        source = sources[kind]
        stream = next((each for each in api.all(kind) if each.source == source), None)
        if stream is None:
            raise DeployError(
                f"Auth0 has no {TITLES[kind]} with the event source {source}, which {place.deployment.name}.tfvars "
                "names. Check the domain."
            )
        chosen.append(stream)
    return chosen


def find_named(api: Streams, place: Place, names: Names, kinds: Iterable[Kind]) -> list[Stream]:
    """Return the streams of the names. Raises DeployError if one is missing that the tenant could have."""
    chosen = []
    for kind in kinds:
        name = names.log if kind == "log" else names.event
        try:
            stream = api.find(kind, name, place.identity.account, place.source_region)
        except Unavailable:
            continue
        if stream is None:
            raise DeployError(
                f"Auth0 has no {TITLES[kind]} with the name {name!r}. Create it: auth0-sync streams --env "
                f"{place.deployment.name} --create"
            )
        chosen.append(stream)
    return chosen


def _sources(deployment: Deployment) -> dict[Kind, str]:
    """Return the event sources that the file of variables names."""
    there = read_file(deployment.variables_file)
    kinds: tuple[Kind, ...] = ("log", "event")
    return {kind: there[name] for kind in kinds if (name := f"{kind}_stream_source_name") in there}


def start_stopped(deployment: Deployment, outputs: Mapping[str, Any], *, healthy: bool) -> bool:
    """Start the streams that `init` has stopped, after a deploy; return whether none is left stopped."""
    command = f"auth0-sync streams --env {deployment.name} --start"
    try:
        stopped = Stopped(deployment.directory)
        if not stopped.ids():
            return True
        console.print("\n[bold]Auth0's streams[/]")
        if not healthy:
            raise DeployError(
                "The smoke test has found a problem, so they stay as `init` left them, and lose no log. Deploy again."
            )
        secret = Secret(aws.client("secretsmanager", region_name=outputs["region"]), deployment.name)
        found = tenant.known_application(secret, stopped.domain, stopped.client_id)
        with Steps(console) as steps, steps.step("Auth0") as step:
            api = tenant.sign_in(found, step, *stopped.ids(), verbs=UPDATE)
            started = connect.start(api, stopped, frozenset(outputs["event_sources"].values()))
    except (Auth0SyncError, BotoCoreError, ClientError) as error:
        console.print(f"[yellow]They are not started.[/] {in_markup(error)}", highlight=False, soft_wrap=True)
        console.print(f"To start them: {in_markup(command)}", highlight=False)
        return False
    for each in started:
        _print_started(each)
    return not any(each.problem and each.stream for each in started)


def _set(
    api: Streams, stream: Stream, stopped: Stopped, sources: Mapping[str, str], steps: Progress, *, runs: bool
) -> Stream:
    state = sources.get(stream.source, "ACTIVE")  # the caller may not list the sources: assume a bus
    if runs and state != "ACTIVE":
        raise DeployError(
            f"The event source of the {TITLES[stream.kind]} {stream.name!r} has no bus (its state is {state}), so that "
            "EventBridge would drop its events. Deploy first."
        )
    with steps.step(TITLES[stream.kind]) as step:
        stream = api.set_running(stream, runs)
        if runs:
            stopped.started(stream.kind)
        step.update(f"{stream.name} is {stream.status}." + ("" if runs else f" {_LOSES[stream.kind]}"))
    return stream


def _print(chosen: list[Stream], sources: Mapping[str, str], *, as_json: bool) -> None:
    rows = [
        {
            "kind": TITLES[stream.kind], "name": stream.name, "id": stream.id, "status": stream.status,
            "account": stream.account, "region": stream.region,
            "event_source": stream.source, "state": sources.get(stream.source), "warnings": [*stream.warnings],
        }
        for stream in chosen
    ]  # fmt: skip
    if as_json:
        print_json({"streams": rows})
        return
    for row in rows:
        table = Table.grid(padding=(0, 2))
        for name, value in row.items():
            if value and name != "warnings":
                table.add_row(cell(name.replace("_", " ")), cell(value))
        console.print("", table, sep="\n")
    print_warnings(chosen)


def print_warnings(chosen: list[Stream]) -> None:
    """Print what each stream does not deliver."""
    for stream in chosen:
        for warning in stream.warnings:
            said = f"{TITLES[stream.kind]} {stream.name}: {warning}."
            console.print(f"[yellow]{in_markup(said)}[/]", highlight=False, soft_wrap=True)


def _print_started(started: Started) -> None:
    if started.problem:
        said = f"The {TITLES[started.kind]} is not started: {started.problem}."
        console.print(f"[yellow]{in_markup(said)}[/]", highlight=False, soft_wrap=True)
    elif started.stream:
        said = f"✔ {TITLES[started.kind]} {started.stream.name} is {started.stream.status}"
        console.print(in_markup(said), highlight=False, soft_wrap=True)
