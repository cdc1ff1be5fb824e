"""A deployment in an AWS account: plan, deploy, migrate, smoke, outputs, destroy."""

import signal
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table

from pipeline import doctor, invocation, packaging, terraform
from pipeline.cli import checks, plans, streams
from pipeline.cli.app import EXIT_UNHEALTHY, AsJson, Env, app, as_called, print_json
from pipeline.cli.progress import Steps
from pipeline.cli.terminal import console, echo, errors, in_markup
from pipeline.deploy import DeployError, migration, passwords, planning, preflight, teardown
from pipeline.deploy import cost as costs
from pipeline.deploy.applying import apply
from pipeline.deploy.deployment import Deployment, State
from pipeline.deploy.failures import explain
from pipeline.terraform import TerraformError

Yes = Annotated[
    bool, typer.Option("--yes", envvar="AUTO_APPROVE", help="Do not ask; for CI. AUTO_APPROVE=1 does the same.")
]


@app.command()
def plan(env: Env, as_json: AsJson = False) -> None:
    """Show what `deploy` would change in the AWS account, and change nothing."""
    deployment = _find(env)
    with deployment.lock(), Steps(errors if as_json else console) as steps:
        identity, planned, _ = _plan(deployment, steps)
    deployment.plan_file.unlink(missing_ok=True)
    if as_json:
        print_json(asdict(planned) | {"account": identity.account, "region": identity.region})
        return
    plans.show(deployment, identity, planned)


@app.command()
def deploy(
    env: Env,
    yes: Yes = False,
    allow_data_loss: Annotated[
        bool, typer.Option("--allow-data-loss", help="With --yes: apply a plan even if it loses data.")
    ] = False,
    seconds: Annotated[float, typer.Option(help="How long the smoke test waits for a store.")] = doctor.SECONDS,
) -> None:
    """Deploy to the AWS account of the environment's credentials, migrate, and run the smoke test.

    Starts the streams that `init` has stopped. Exit code 3 if the deployment succeeded and the smoke test finds that
    something is wrong, or the streams could not be started.
    """
    deployment = _find(env)
    with deployment.lock():
        with Steps(console) as steps:
            identity, planned, before = _plan(deployment, steps)
        if planned.empty:
            console.print("Nothing to change: the deployment matches the configuration.")
            deployment.plan_file.unlink(missing_ok=True)
        else:
            plans.show(deployment, identity, planned)
            plans.confirm_plan(deployment, planned, yes=yes, allow_data_loss=allow_data_loss)
            with _explained(env, before), Steps(console) as steps:
                _wake(planned, before, steps)
                apply(deployment, planned, steps)
        outputs = deployment.deployed()
    _show_schema(before, outputs)
    good = checks.run(env, outputs, seconds)
    started = streams.start_stopped(deployment, outputs, healthy=good)
    _show_next(deployment, outputs)
    if not (good and started):
        raise typer.Exit(EXIT_UNHEALTHY)


@app.command()
def migrate(
    env: Env,
    revision: Annotated[
        str, typer.Option(help="head, base, own@head, own@base, or the number of a migration.")
    ] = "head",
    yes: Yes = False,
    allow_data_loss: Annotated[
        bool, typer.Option("--allow-data-loss", help="With --yes: take migrations back, with the data in their tables.")
    ] = False,
) -> None:
    """Bring the schema of a deployment's Postgres to a revision, by its deployed migration function.

    The command asks before it takes a migration back. While protect_data is on, the function refuses that.
    """
    outputs = deployed(env)
    client = invocation.client(outputs["region"])

    def run(*, allow_data_loss: bool) -> None:
        function = outputs["function_names"]["migrate"]
        with Steps(console) as steps, steps.step("Migration") as step:
            step.update(str(migration.migrate(client, function, env, revision, allow_data_loss=allow_data_loss)))

    try:
        run(allow_data_loss=False)
    except invocation.FunctionFailed as error:
        if error.kind != migration.LOSES_DATA:
            raise
        plans.confirm_loss(env, "The migration", yes=yes, allow_data_loss=allow_data_loss, what="migrate")
        run(allow_data_loss=True)


@app.command(name="smoke")
def smoke_test(
    env: Env,
    seconds: Annotated[float, typer.Option(help="How long to wait for a store.")] = doctor.SECONDS,
    as_json: AsJson = False,
) -> None:
    """Test a deployment with a user that cannot exist in Auth0. Exit code 3 if something is wrong."""
    if not checks.run(env, deployed(env), seconds, as_json=as_json):
        raise typer.Exit(EXIT_UNHEALTHY)


@app.command()
def outputs(env: Env, name: Annotated[str, typer.Argument(help="Only this output; text as it is.")] = "") -> None:
    """Print Terraform's outputs of a deployment as JSON: names, addresses, ARNs."""
    found = deployed(env)
    if name and name not in found:
        raise typer.BadParameter(f"there is no output {name!r}; there are {', '.join(sorted(found))}")
    if name and isinstance(found[name], str):
        echo(found[name])
    else:
        print_json(found[name] if name else found)


@app.command()
def destroy(
    env: Env,
    with_data: Annotated[
        bool, typer.Option("--with-data", help="Delete the data too: the users table, the cluster, the archive.")
    ] = False,
    snapshot: Annotated[bool, typer.Option(help="With --with-data: leave a last snapshot of the cluster.")] = True,
    yes: Yes = False,
) -> None:
    """Remove a deployment from the AWS account. Stores are kept, unless --with-data."""
    deployment = _find(env)
    with deployment.lock():
        with Steps(console) as steps:
            identity, settings, state = _ready(deployment, steps)
            before = state.outputs
            _package(deployment, settings, steps)  # Terraform reads the packages even to destroy
            with _explained(env, before), steps.step("Plan") as step:
                keep_key = snapshot and with_data and teardown.needs_key(state)
                snapshot = snapshot and with_data and teardown.has_cluster(state.resources)
                planned = (
                    teardown.removal_with_data(state.resources, keep_key=keep_key)
                    if with_data
                    else teardown.plan_without_data(deployment, state.resources)
                )
                step.update(plans.counted(planned) or "no changes")
        kept = {} if with_data else teardown.holders(state.resources)
        if planned.empty:
            console.print(f"Nothing of {env} is left to remove{', but its data' if kept else ''}.")
        else:
            plans.show(deployment, identity, planned)
            for address, what in kept.items():
                console.print(f"  [green]stays[/] {in_markup(address)}: {in_markup(what)}", highlight=False)
            if snapshot:
                console.print("A snapshot of the database is taken before the data is deleted, and kept.")
            if before.get("function_network"):
                console.print(
                    "The functions are deleted first. Lambda then removes their network interfaces from the VPC, "
                    f"before the rest is deleted. This takes 20 to {teardown.INTERFACE_MINUTES} minutes."
                )
            if any(change.kind == "aws_sqs_queue" for change in planned.changes):
                console.print("The queues are deleted with their waiting messages, dead-letter queues included.\n")
            plans.confirm(f"Type the environment's name ({env}) to destroy this", env, yes=yes, what="destroy")
            with Steps(console) as steps:
                left = _destroy(deployment, planned, state, steps, with_data=with_data, snapshot=snapshot)
            if left:
                _show_snapshot(deployment, left)
    if kept:
        console.print(
            "\nThe data and the keys to read it are kept and still billed. "
            f"`make deploy ENV={env}` creates the pipeline again for this data.\n"
            f"To delete the data as well: auth0-sync destroy --env {env} --with-data",
            highlight=False,
        )


@app.command(name="cost")
def estimate(
    users: Annotated[int, typer.Option(help="Users of the tenant.", min=1)] = costs.SMALL.users,
    logs_a_day: Annotated[int, typer.Option(help="Tenant logs a day.", min=0)] = costs.SMALL.logs_a_day,
    readers: Annotated[int, typer.Option(help="aurora.readers", min=0)] = 0,
    event_stream: Annotated[bool, typer.Option(help="With an Event Stream beside the Log Stream.")] = False,
    as_json: AsJson = False,
) -> None:
    """Estimate what a deployment costs a month, at list prices of us-east-1; docs/cost.md has the assumptions."""
    tenant = costs.Tenant(users, logs_a_day, readers=readers, event_stream=event_stream)
    if as_json:
        print_json({"dollars_a_month": costs.total(tenant), "lines": [asdict(line) for line in costs.bill(tenant)]})
        return
    table = Table(box=None, header_style="bold", show_footer=True)
    table.add_column("service", "together")
    table.add_column("$ a month", f"{costs.total(tenant):,.2f}", justify="right")
    table.add_column("for")
    for line in costs.bill(tenant):
        table.add_row(line.service, f"{line.dollars:,.2f}", line.what)
    console.print(table)


# --- the steps ----------------------------------------------------------------------------------------------------


def _find(env: str) -> Deployment:
    # Let Terraform write its state when this program is terminated, for example in a cancelled CI job.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupt)

    def interrupted() -> None:
        errors.print(
            "\nInterrupted. Terraform finishes running operations and writes its state, which can take minutes. "
            "Another Ctrl-C abandons that: you must then delete unfinished resources by hand."
        )

    return Deployment.find(env, interrupted=interrupted)


def _interrupt(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def deployed(env: str) -> dict[str, Any]:
    """Return the outputs of a deployment. Raises DeployError if there is none."""
    deployment = _find(env)
    with deployment.lock():
        deployment.prepare()
        return deployment.deployed()


def _ready(deployment: Deployment, steps: Steps) -> tuple[preflight.Identity, dict[str, Any], State]:
    """Return the caller's identity, the variables, and the state."""
    with _explained(deployment.name, {}), steps.step("Terraform") as step:
        used = terraform.program_name()
        step.update(terraform.version() + ("" if used == "terraform" else f", {used}"))
        deployment.prepare()
        settings = deployment.settings()
    with steps.step("AWS account") as step:
        identity = preflight.identify(settings)
        step.update(f"{identity.account}, {identity.region}, as {identity.arn}")
        state = deployment.state()
        preflight.check_account(deployment.name, state.outputs, identity)
    return identity, settings, state


def _plan(deployment: Deployment, steps: Steps) -> tuple[preflight.Identity, planning.Plan, dict[str, Any]]:
    identity, settings, state = _ready(deployment, steps)
    before, resources = state.outputs, state.resources
    with steps.step("Names"):
        preflight.check_names(deployment, settings, identity, resources)
        exposed = passwords.check(deployment)
    with steps.step("Auth0 event sources"):
        preflight.check_sources(settings, identity, resources)
    warning = preflight.concurrency_warning(settings, identity)
    _package(deployment, settings, steps)
    with _explained(deployment.name, before), steps.step("Plan") as step:
        planned = planning.make(deployment).warned(exposed).warned(warning)
        step.update(plans.counted(planned) or "no changes")
    return identity, planned, before


def _package(deployment: Deployment, settings: Mapping[str, Any], steps: Steps) -> None:
    with steps.step("Function packages") as step:
        names = list(packaging.FUNCTIONS)
        if settings["package_dir"]:
            built = [deployment.directory / settings["package_dir"] / f"{name}.zip" for name in names]
            step.update(f"as they are in {settings['package_dir']}{_digest(built)}")
            return
        with ThreadPoolExecutor(len(names)) as pool:
            architecture = settings["lambda_architecture"]
            builds = [pool.submit(packaging.build, name, "lambda", deployment.packages, architecture) for name in names]
            built = [build.result() for build in builds]
        megabytes = (f"{path.stem} {packaging.sizes(path)[0] / 1e6:.1f} MB" for path in built)
        step.update(", ".join(megabytes) + _digest(built))


def _digest(built: Sequence[Path]) -> str:
    """Return the digest of all packages' contents for a step, to compare with CI's; nothing without all of them."""
    if not all(map(zipfile.is_zipfile, built)):
        return ""  # Terraform or Lambda names the one that is missing or damaged
    return f"; SHA-256 of all contents {packaging.combined(built)[:16]}"


def _wake(planned: planning.Plan, before: Mapping[str, Any], steps: Steps) -> None:
    """Wake functions that were idle for weeks: the apply updates and invokes functions, and tries only once."""
    if not before or not any(change.kind.startswith("aws_lambda_") for change in planned.changes):
        return
    client = invocation.client(before["region"])
    # For the sync an empty batch, for the migration the schema's present revision.
    harmless: dict[str, Any] = {"Records": [], "revision": before.get("schema_revision")}
    try:
        if idle := invocation.idle(client, before["function_names"].values()):
            with steps.step("Idle functions") as step:
                step.update(", ".join(idle))
                invocation.wake(client, idle, harmless)
    except (BotoCoreError, ClientError) as error:
        raise DeployError(f"Idle functions could not be found or woken: {error}") from error


@contextmanager
def _explained(env: str, before: Mapping[str, Any]) -> Iterator[None]:
    """Add the deployment's context to Terraform's error."""
    try:
        yield
    except TerraformError as error:
        raise DeployError(explain(env, error, before)) from error


def _destroy(
    deployment: Deployment,
    planned: planning.Plan,
    state: State,
    steps: Steps,
    *,
    with_data: bool,
    snapshot: bool,
) -> str | None:
    """Remove what was shown; return the name of the last snapshot, if one was taken."""
    before, resources, left = state.outputs, state.resources, None
    with _explained(deployment.name, before):
        moved = teardown.leave_network(state, steps)
        if with_data:
            left = teardown.snapshot(before, steps) if snapshot else None
            teardown.unprotect(deployment, state, steps)
            teardown.remove_with_data(deployment, planned, steps)
        else:
            apply(deployment, teardown.plan_without_data(deployment, resources) if moved else planned, steps)
    return left


# --- output and questions -----------------------------------------------------------------------------------------


def _show_snapshot(deployment: Deployment, snapshot: str) -> None:
    """Show the snapshot that a destroy has left, with its key if that is the deployment's."""
    key = bool(deployment.state().resources)
    left = f"{snapshot}, and the key that it is encrypted with" if key else snapshot
    lines = [
        f"A last snapshot of the database is left: {left}.",
        f"To delete {'them' if key else 'it'}:",
        f"  aws rds delete-db-cluster-snapshot --db-cluster-snapshot-identifier {snapshot}",
    ]
    if key:
        lines.append(f"  auth0-sync destroy --env {deployment.name} --with-data")
    for line in lines:
        console.print(in_markup(line), highlight=False, soft_wrap=True)


def _show_schema(before: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
    old, new = before.get("schema_revision"), outputs.get("schema_revision")
    if new and new != old:
        console.print(f"Schema of Postgres: {in_markup(f'{old} → {new}' if old else new)}", highlight=False)


def _show_next(deployment: Deployment, outputs: Mapping[str, Any]) -> None:
    region = outputs["region"]
    console.print("\n[bold]Next[/]")
    lines = []
    if dashboard := outputs.get("dashboard_name"):
        url = (
            f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#dashboards/dashboard/{dashboard}"
        )
        lines.append(f"  Dashboard:  {url}")
    if topic := outputs.get("alarm_topic_arn"):
        lines.append(f"  Alarms go to {topic}; addresses that get them by e-mail must confirm first.")
    lines += [
        f'  eval "$({as_called()} env --env {deployment.name})"   point this shell at it, then:',
        f"  {as_called()} user 'USER ID'          a user that you have just changed in Auth0, in both stores",
        f"  {as_called()} ask activity user_id='USER ID'",
        f"  {as_called()} backfill --from-file users.ndjson.gz   the users who are there already, see docs/backfill.md",
    ]
    for line in lines:
        console.print(in_markup(line), highlight=False, soft_wrap=True)
