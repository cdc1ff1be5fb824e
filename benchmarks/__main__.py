"""``python -m benchmarks``: everything on a fresh embedded Postgres; figures to the screen and build/bench.json.

Compare figures within one run only: they depend on the machine, and ratios hardly do.
"""

import argparse
import json
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import backfill, bad_rows, cold_start, dynamodb, growth, history, layouts, reconcile, refill, worst
from benchmarks import postgres as sync
from devstack import postgres

OUTPUT = Path("build/bench.json")
ALL = (
    "sync",
    "history",
    "layouts",
    "cold_start",
    "dynamodb",
    "bad_rows",
    "backfill",
    "worst",
    "growth",
    "refill",
    "reconcile",
)


def main() -> None:
    """Run the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="rounds in which the contestants take turns")
    parser.add_argument("--only", choices=ALL, action="append")
    parser.add_argument(
        "--rows",
        type=int,
        choices=growth.SIZES[1:],
        default=20_000,
        help="rows in the larger tables",
    )
    parser.add_argument("--limit", type=float, default=60, help="seconds of changes in growth, and in layouts")
    parser.add_argument("--layout", choices=layouts.LAYOUTS, action="append", help="layouts to compare; all by default")
    parser.add_argument(
        "--setting",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the server, such as shared_buffers=17GB; Postgres's defaults are for tables far smaller",
    )
    arguments = parser.parse_args()
    wanted = arguments.only or ALL
    logging.disable(logging.CRITICAL)
    figures: dict[str, Any] = {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "settings": arguments.setting,
    }
    # The handler's metrics are lines on standard output; there they would drown the figures.
    screen, sys.stdout = sys.stdout, Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process
    with tempfile.TemporaryDirectory(prefix="auth0-sync-bench-") as directory:
        server = postgres.start(Path(directory) / "postgres", settings=arguments.setting)
        try:
            if "sync" in wanted:
                url = postgres.create_database(server.url, "bench")
                figures["sync"] = sync.run(url, (10, 100, 1000), arguments.rounds)
                _print_sync(figures["sync"], screen)
            if "history" in wanted:
                url = postgres.create_database(server.url, "history")
                figures["history"] = history.run(url, (10, 100, 1000), arguments.rounds)
                _print_history(figures["history"], screen)
            if "layouts" in wanted:
                url = postgres.create_database(server.url, "layouts")
                names = arguments.layout or tuple(layouts.LAYOUTS)
                figures["layouts"] = layouts.run(url, arguments.rounds, arguments.rows, arguments.limit, names)
                _print_tables(figures["layouts"], screen)
                postgres.drop_database(server.url, "layouts")
            if "cold_start" in wanted:
                url = postgres.create_database(server.url, "cold_start")
                figures["cold_start"] = cold_start.run(url, max(3, arguments.rounds // 3))
                _print("\n".join(cold_start.lines(figures["cold_start"])), screen)
            _run_without_server(wanted, figures, screen)
            if "dynamodb" in wanted:
                figures["dynamodb"] = dynamodb.run((10, 100, 1000), max(3, arguments.rounds // 3))
                _print_dynamodb(figures["dynamodb"], screen)
            if "bad_rows" in wanted:
                url = postgres.create_database(server.url, "bad_rows")
                figures["bad_rows"] = bad_rows.run(url, arguments.rounds)
                _print(f"refused rows: {figures['bad_rows']}", screen)
            if "backfill" in wanted:
                url = postgres.create_database(server.url, "backfill")
                figures["backfill"] = backfill.run(url, max(arguments.rows, backfill.LEAST))
                postgres.drop_database(server.url, "backfill")
                url = postgres.create_database(server.url, "side_by_side")
                figures["side_by_side"] = backfill.run_side_by_side(url, max(arguments.rows, backfill.LEAST))
                postgres.drop_database(server.url, "side_by_side")
                _print(f"an export into Postgres: {figures['backfill']}", screen)
                _print(f"slices at a time: {figures['side_by_side']}", screen)
            if "growth" in wanted:
                url = postgres.create_database(server.url, "growth")
                figures["growth"] = growth.run(url, arguments.rounds, arguments.rows, arguments.limit)
                _print_tables(figures["growth"], screen)
                postgres.drop_database(server.url, "growth")
            _run_on_filled_tables(wanted, server.url, arguments.rows, figures, screen)
        finally:
            postgres.stop(Path(directory) / "postgres", delete=True)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(figures, indent=2) + "\n")
    _print(f"written to {OUTPUT}", screen)


def _run_on_filled_tables(wanted: Sequence[str], server: str, rows: int, figures: dict[str, Any], screen: Any) -> None:
    if "refill" in wanted:
        figures["refill"] = refill.run(postgres.create_database(server, "refill"), rows)
        _print(f"change of a filled table: {figures['refill']}", screen)
    if "reconcile" in wanted:
        figures["reconcile"] = reconcile.run(postgres.create_database(server, "reconcile"), rows)
        _print(f"both stores compared: {figures['reconcile']}", screen)


def _run_without_server(wanted: Sequence[str], figures: dict[str, Any], screen: Any) -> None:
    if "worst" in wanted:
        figures["worst"] = worst.run()
        slow = ", ".join(figures["worst"]["slow"]) or "none"
        _print(
            f"a megabyte of the worst JSON: {figures['worst']['worst']} s of CPU; over {worst.LIMIT} s: {slow}", screen
        )


def _print(text: str, screen: Any) -> None:
    print(text, file=screen, flush=True)


def _print_tables(figures: dict[str, Any], screen: Any) -> None:
    for name, found in figures.items():
        _print(f"{name:>16}: {', '.join(f'{key} {value}' for key, value in found.items() if key != 'parts')}", screen)


def _print_sync(figures: dict[str, Any], screen: Any) -> None:
    names = ("handler", "statement", "row_by_row", "sqlalchemy")
    header = "".join(f"{name:>14}" for name in names)
    _print(f"events/s, {figures['event_bytes']:,} bytes each, {figures['users']:,} users in the table", screen)
    _print(f"{'batch':>8}{header}", screen)
    for size, result in figures["batches"].items():
        rates, ratios = result["events_per_second"], result["handler_vs"]
        _print(f"{size:>8}" + "".join(f"{rates[name]:>14,}" for name in names), screen)
        _print(f"{'handler':>8}{'':>14}" + "".join(f"{ratios[name]:>13}x" for name in names[1:]), screen)


def _print_dynamodb(figures: dict[str, Any], screen: Any) -> None:
    for size, result in figures["batches"].items():
        rates = result["events_per_second"]
        line = f"handler {rates['handler']:,} events/s, a loop of puts {rates['loop']:,}: {result['handler_vs_loop']}x"
        _print(f"DynamoDB, batches of {size}: {line}", screen)
    _print(f"DynamoDB, stubbed transport, a change: {figures['stubbed']}", screen)


def _print_history(figures: dict[str, Any], screen: Any) -> None:
    for size, result in figures["batches"].items():
        off, on = result["events_per_second"]["off"], result["events_per_second"]["on"]
        _print(f"history, batches of {size}: off {off:,} events/s, on {on:,}: {result['cost']}x the time", screen)
    _print(f"history: {figures['bytes_per_change']:,} bytes per change, indexes included", screen)


if __name__ == "__main__":
    main()
