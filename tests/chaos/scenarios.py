"""The scenarios, by name. After each, both stores, the dead-letter queues and the archive must hold what was put.

A scenario puts its events and does its harm; ``World.run`` waits and compares. The seed decides what is sent, not how
the parts of the stack interleave.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import psutil

from devstack import stack
from devstack.traffic import Event
from tests.chaos.load import Load, spread, thirds, traffic
from tests.chaos.world import RECEIVES, World
from tests.faults.support import Fault, Put


@dataclass(frozen=True)
class Scenario:
    """A scenario; ``number`` makes its events differ from those of the others with the same seed."""

    name: str
    number: int
    holds: str
    """The result that must hold, besides the comparison after every scenario."""
    play: Callable[[World], Load]


SCENARIOS: dict[str, Scenario] = {}

Play = Callable[[World, list[Event], Load], None]


def scenario(events: int, *, malformed: int = 0) -> Callable[[Play], Play]:
    """Register a scenario of so many events under its function's name; the docstring says what must hold."""

    def register(play: Play) -> Play:
        name, number = play.__name__.replace("_", "-"), len(SCENARIOS)

        def run(world: World) -> Load:
            load = Load(world.stack)
            seed = world.seed * 1000 + number
            play(world, traffic(world.size(events), seed, 2 * number, malformed=malformed), load)
            return load

        SCENARIOS[name] = Scenario(name, number, (play.__doc__ or "").partition("\n")[0], run)
        return play

    return register


@scenario(120_000)
def steady(world: World, events: list[Event], load: Load) -> None:
    """200 events a second go through as they come for ten minutes, and the functions' memory stays flat."""
    load.put(events, rate=200)
    world.settle(load)
    world.wrong += world.memory_growth()


@scenario(50_000)
def burst(world: World, events: list[Event], load: Load) -> None:
    """A burst waits in the queues until the stack can store it, and the functions' memory stays flat."""
    load.put(events, threads=4)
    world.settle(load)
    world.wrong += world.memory_growth()


@scenario(3_000)
def postgres_killed(world: World, events: list[Event], load: Load) -> None:
    """Postgres, killed and started again, keeps what it committed and gets the rest."""
    world.put_during(load, events, world.kill_postgres)


@scenario(3_000)
def postgres_paused(world: World, events: list[Event], load: Load) -> None:
    """A server that does not answer costs the functions their time, and no change."""
    world.put_during(load, events, lambda: world.pause_postgres(15))


@scenario(3_000)
def connections_full(world: World, events: list[Event], load: Load) -> None:
    """Functions that get no connection leave their messages in the queue."""

    def fault() -> None:
        with world.all_connections_taken():
            time.sleep(8)

    world.put_during(load, events, fault)


@scenario(3_000)
def disk_full(world: World, events: list[Event], load: Load) -> None:
    """A server that can write nothing more (SQLSTATE 53100) gets the changes when it can."""
    function = (
        "CREATE FUNCTION public.chaos_disk_full() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$"
    )
    trigger = (
        "CREATE TRIGGER chaos_disk_full BEFORE INSERT OR UPDATE ON auth0.user_rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION public.chaos_disk_full()"
    )

    def fault() -> None:
        world.execute(function)
        try:
            world.execute(trigger)
            time.sleep(8)
        finally:
            world.execute("DROP FUNCTION public.chaos_disk_full CASCADE")

    world.put_during(load, events, fault)


@scenario(3_000)
def rights_revoked(world: World, events: list[Event], load: Load) -> None:
    """The rights that the sync lost come back with the SQL of the roles, and the changes with them."""

    def fault() -> None:
        world.execute("REVOKE INSERT, UPDATE ON auth0.user_rows FROM auth0_writer")
        time.sleep(8)
        stack.make_roles(world.stack)

    world.put_during(load, events, fault)


@scenario(3_000)
def functions_killed(world: World, events: list[Event], load: Load) -> None:
    """A function killed in the middle of a batch, or before its answer, loses and doubles nothing."""
    rng = Random(world.seed)

    def fault() -> None:
        for _ in range(12):
            time.sleep(rng.uniform(0.2, 1.2))
            for process in world.workers():
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    world.put_during(load, events, fault)


@scenario(3_000)
def dynamodb_throttled(world: World, events: list[Event], load: Load) -> None:
    """A table that refuses most puts for ten seconds gets them all in the end."""
    rng = Random(world.seed)
    refused = Fault(status=400, code="ProvisionedThroughputExceededException")

    with world.flaky_dynamodb() as proxy:

        def fault() -> None:
            proxy.rule = lambda _put: refused if rng.random() < 0.9 else Fault()
            time.sleep(10)
            proxy.rule = lambda _put: Fault()

        world.put_during(load, events, fault)
        world.settle(load)


@scenario(3_000)
def dynamodb_failing(world: World, events: list[Event], load: Load) -> None:
    """Errors of DynamoDB, and answers that are lost after the put, change nothing in the end."""
    rng = Random(world.seed)

    def rule(_put: Put) -> Fault:
        chance = rng.random()
        if chance < 0.3:
            return Fault(status=500, code="InternalServerError")
        return Fault(lose_answer=chance < 0.5)

    with world.flaky_dynamodb() as proxy:

        def fault() -> None:
            proxy.rule = rule
            time.sleep(10)
            proxy.rule = lambda _put: Fault()

        world.put_during(load, events, fault)
        world.settle(load)


@scenario(1_500)
def duplicated_and_reordered(world: World, events: list[Event], load: Load) -> None:
    """Each event comes twice more, in any order: the newest change of each user counts, once."""
    rng = Random(world.seed)
    order = spread(events, 3)
    rng.shuffle(order)
    load.put(order, threads=4)


@scenario(3_000)
def edited_by_hand(world: World, events: list[Event], load: Load) -> None:
    """An operator's edit stands until the user's next change, which the store then has whole.

    A user deleted by hand starts anew with the next event. A row from a backup gets each change since. A changed
    profile whose version is the same stays until there is a newer version.
    """
    first, second, third = thirds(events)
    load.put(first, rate=500)
    world.settle(load)
    saved, backup = sorted(load.expected.live), world.raw_items()
    world.execute("CREATE TABLE public.chaos_backup AS TABLE auth0.user_rows")
    load.put(second, rate=500)
    world.settle(load)

    known = [user_id for user_id in saved if user_id in load.expected.live]
    some = min(10, len(known) // 3)
    chosen = Random(world.seed).sample(known, 3 * some)
    for user_id in chosen[:some]:
        world.delete_user(user_id)
        load.expected.forget(user_id)
    for user_id in chosen[some : 2 * some]:
        world.restore_user(user_id, "public.chaos_backup", backup[user_id])
        load.expected.forget(user_id)
        for event in first:
            if event.change is not None and event.change.user_id == user_id:
                load.expected.observe(event)
    for user_id in chosen[2 * some :]:
        world.edit_user(user_id, "edited")
        load.expected.edit(user_id, load.expected.live[user_id] | {"edited": True})
    world.execute("DROP TABLE public.chaos_backup")
    load.put(third, rate=500)


@scenario(3_000, malformed=60)
def poison(world: World, events: list[Event], load: Load) -> None:
    """Only the messages that nobody can read go to the dead-letter queues; each does, once for each store."""
    world.set_receives(4)
    load.put(events, rate=300)


@scenario(2_000)
def dead_letters(world: World, events: list[Event], load: Load) -> None:
    """Good messages that a long outage drove into the dead-letter queue come back by one command, also in two runs."""
    world.set_receives(2, visibility=3, sinks=["postgres"])
    world.execute("REVOKE INSERT, UPDATE ON auth0.user_rows FROM auth0_writer")
    dead = world.outputs["dlq_urls"]["postgres"]
    try:
        load.put(events, rate=500)
        world.settle(load)
    finally:
        stack.make_roles(world.stack)
    fallen = world.waiting(dead)
    if fallen < len(events) / 4:
        world.wrong.append(f"only {fallen} messages fell into the dead-letter queue")
    world.set_receives(RECEIVES)
    world.command("failed", "postgres", "--put-back", "--limit", "50")
    world.command("failed", "postgres", "--put-back")


@scenario(1_000)
def undelivered(world: World, events: list[Event], load: Load) -> None:
    """Events that a queue did not take from EventBridge come back by one command."""
    url, limit = world.outputs["queue_urls"]["dynamodb"], "MaximumMessageSize"
    before = world.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[limit])["Attributes"][limit]
    world.sqs.set_queue_attributes(QueueUrl=url, Attributes={limit: "1024"})
    try:
        load.put(events, rate=500)
    finally:
        world.sqs.set_queue_attributes(QueueUrl=url, Attributes={limit: before})
    found = json.loads(world.command("failed", "dynamodb", "--put-back", "--json"))["done"]
    if found < len(events) / 4:
        world.wrong.append(f"only {found} events were undelivered")


@scenario(2_000)
def archive(world: World, events: list[Event], load: Load) -> None:
    """Each log is once in the archive's view, however often it was delivered, and none is missing."""
    load.put(spread(events, 2), threads=4)
    world.settle(load)
    world.wrong += world.check_view(load)
