"""Import time of each function and of the command in a fresh interpreter, beside the time of its required packages."""

import statistics
import subprocess
import sys

_TIMED = "import time; t = time.perf_counter(); {}; print(); print(time.perf_counter() - t, time.process_time())"

_SIGNER = "import botocore.auth, botocore.awsrequest, botocore.credentials"
STATEMENTS = {
    "postgres": "import pipeline.functions.sync, pipeline.sinks.postgres, pipeline.sinks.iam",
    "postgres_floor": f"import psycopg, msgspec; {_SIGNER}",
    "dynamodb": (
        "import pipeline.functions.sync, os; from pipeline.sinks import dynamodb, dynamodb_requests; "
        "os.environ |= dict(AWS_DEFAULT_REGION='eu-west-1', AWS_ACCESS_KEY_ID='x', AWS_SECRET_ACCESS_KEY='x'); "
        "dynamodb_requests.connect(1)"
    ),
    "dynamodb_floor": "import msgspec, boto3; boto3.client('dynamodb', 'eu-west-1')",
    "migrate": "import pipeline.functions.migrate",
    "command": "import pipeline.cli",
    "command_help": "from pipeline.cli import app; app(['--help'], standalone_mode=False)",
    "command_list": "from pipeline.cli import app; app(['ask', '--list'], standalone_mode=False)",
}


def run(rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each, measured in turns; ``…_vs_floor`` are ratios.

    ``command_help_cpu_ms`` is the CPU time of the whole process, the interpreter's start included.
    """
    cpu: list[float] = []
    taken: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for turn in range(rounds + 1):
        for name, statement in STATEMENTS.items():
            command = [sys.executable, "-c", _TIMED.format(statement)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            if turn:
                elapsed, used = (float(seconds) * 1000 for seconds in output.split()[-2:])
                taken[name].append(elapsed)
                if name == "command_help":
                    cpu.append(used)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    result = {f"{name}_ms": round(value, 1) for name, value in medians.items()}
    result["command_help_cpu_ms"] = round(statistics.median(cpu), 1)
    for name in ("postgres", "dynamodb"):
        result[f"{name}_vs_floor"] = round(medians[name] / medians[f"{name}_floor"], 2)
    return result
