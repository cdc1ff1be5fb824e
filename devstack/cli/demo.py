"""Demonstrate the sync on the embedded stack."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.json import JSON
from rich.panel import Panel
from rich.table import Table

from devstack import demo as job
from devstack import stack
from devstack.trouble import reported
from pipeline.batch import Counts
from pipeline.cli.app import EXIT_UNHEALTHY, app
from pipeline.cli.progress import Steps
from pipeline.cli.rows import print_table
from pipeline.cli.terminal import console, in_markup, lines_in_markup
from pipeline.foreign import plain
from pipeline.query import Result

NEXT = """
The stack is up. Next:
  eval "$(.venv/bin/auth0-sync env)"          point this shell at it
  .venv/bin/auth0-sync user 'USER'
  .venv/bin/auth0-sync ask activity user_id='USER'
  psql "$DATABASE_URL" -c 'SELECT user_id, user_metadata FROM live_users LIMIT 5'
  make down                                   stop it; nothing is left running"""

SHOWN = 6
"""Rows to print of an answer."""


@app.command()
def demo(
    events: Annotated[int, typer.Option(help="How many events to put on the bus.", min=20)] = 300,
    users: Annotated[int, typer.Option(help="How many users they are about.", min=2)] = 40,
    malformed: Annotated[int, typer.Option(help="How many of them cannot be read.", min=0)] = 1,
    seed: Annotated[int | None, typer.Option(help="Default: one that gives users the stack has not seen.")] = None,
) -> None:
    """Start the embedded stack, put Auth0 traffic on its bus, and show the result in every store.

    Exit code 3 if a store differs from the expected state.
    """
    run, found = work(stack.DIRECTORY, events, users, malformed, seed)
    _show(run, found)
    if found.differences:
        raise typer.Exit(EXIT_UNHEALTHY)


def work(directory: Path, events: int, users: int, malformed: int, seed: int | None) -> tuple[job.Run, job.Report]:
    """Do the demo's work on the stack in ``directory``."""
    with reported(directory, "make demo"), Steps(console) as steps:
        running = stack.up(steps, directory)
        with steps.step("Auth0 events") as step:
            run = job.put(running, events, users, malformed, seed, step.update)
        with steps.step("Quiet again") as step:
            job.settle(run, step.update)
        with steps.step("Compare with truth"):
            return run, job.report(run)


def _show(run: job.Run, found: job.Report) -> None:
    console.print()
    console.rule("What happened", align="left")
    kinds = ", ".join(f"{count} {kind}" for kind, count in run.expected.counts.most_common())
    counted = f"{kinds}; {run.expected.late} arrived late."
    console.print(f"{found.put} events put on the bus (seed {run.seed}): {in_markup(counted)}")
    console.print(f"{found.archived} archived.\n")
    console.print(_stages(found))
    console.print(
        "\n[dim]A message that fails is tried again before it goes to the dead-letter queue, and counts each time.[/]"
    )
    console.rule("SQL: what users chose, from their user_metadata", align="left")
    console.print(f"[dim]{lines_in_markup(job.METADATA_SQL)}[/]\n", highlight=False)
    print_table(found.metadata)
    console.rule(f"DynamoDB: get_item {in_markup(found.user_id)}", align="left")
    shown = ("user_id", "user_metadata", "app_metadata", "version", "synced_at")
    console.print(JSON.from_data({name: found.item.get(name) for name in shown}, default=str))
    console.rule(f"Athena: who changed {in_markup(found.user_id)}, when, from where", align="left")
    answer = found.answer.dicts()
    columns = ("date", "actor_name", "ip", "http_method", "description", "channel")
    print_table(Result(columns, [tuple(row[name] for name in columns) for row in answer[:SHOWN]]))
    if len(answer) > SHOWN:
        console.print(f"[dim] and {len(answer) - SHOWN} before[/]")
    console.rule("Dead-letter queues: what could not be stored, and why", align="left")
    for message in found.bad_messages:
        data = json.loads(message.body)["detail"]["data"]
        about = f"log {data['log_id']}: {data['type']}, {data['description']}"
        console.print(
            Panel(
                f"{in_markup(message.reason)}\n[dim]{in_markup(about)}[/]",
                title=f"{in_markup(message.sink)}: message {in_markup(message.message_id)}",
                title_align="left",
            ),
            highlight=False,
        )
    _verdict(run, found)


def _stages(found: job.Report) -> Table:
    stages = Table(box=None, header_style="bold")
    stages.add_column("sink")
    for name in (*Counts.__struct_fields__, "p50 lag", "p99 lag"):
        stages.add_column(name, justify="right")
    for sink, counts in found.counts.items():
        lag = found.lags[sink]
        numbers = [str(counts[name]) for name in Counts.__struct_fields__]
        stages.add_row(sink, *numbers, f"{lag.p50:,.0f} ms", f"{lag.p99:,.0f} ms")
    return stages


def _verdict(run: job.Run, found: job.Report) -> None:
    console.rule("Compared with the truth", align="left")
    if found.differences:
        for difference in found.differences:
            console.print(f"[red]✘[/] {in_markup(difference)}", highlight=False)
        return
    live, deleted = len(run.expected.live), len(run.expected.deleted)
    console.print(
        f"[green]✔[/] Postgres and DynamoDB hold exactly the {live} users that live, and {deleted} tombstones."
    )
    console.print(f"[green]✔[/] The archive holds each of the {found.put} events once, as it was put.")
    console.print(lines_in_markup(NEXT.replace("USER", plain(found.user_id))), highlight=False)
