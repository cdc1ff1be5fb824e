"""The saved state of the stack, and the identification of its own processes. tests/stack tests the real one."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from devstack import StackError, stack
from pipeline.progress import Quiet

OUTPUTS = {
    "deployment": "auth0-sync-local",
    "source_region": "us-east-1",
    "event_sources": {"log-stream": "b"},
    "archive_error_prefix": "errors/",
    "users_table": "t",
    "bus_names": {"log-stream": "b"},
    "archive_bucket": "a",
    "archive_prefix": "logs/",
    "athena_workgroup": "w",
    "glue_database": "g",
    "queue_urls": {"postgres": "q1", "dynamodb": "q2"},
    "dlq_urls": {"postgres": "d1", "dynamodb": "d2"},
    "function_names": {"migrate": "m"},
}


def saved(pid: int, *, applying: bool = False) -> stack._Saved:
    up = stack.Stack(
        "http://127.0.0.1:9", "us-east-1", "postgresql://postgres@127.0.0.1:5/auth0", "s", pid, pid, OUTPUTS
    )
    return stack._Saved(up, applying=applying, applied="digest")


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def pose_as_emulator(directory: Path) -> subprocess.Popen[bytes]:
    """Start a process with the command line of `directory`'s emulator, which answers nobody."""
    command = ["-c", "import time; time.sleep(60)", "devstack.emulator", "--dir", str(directory / "emulator")]
    process = subprocess.Popen([sys.executable, *command])
    deadline = time.monotonic() + 5
    while process.pid not in stack._emulators(directory) and time.monotonic() < deadline:
        time.sleep(0.01)  # until it has exec'ed
    return process


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    stack._save(saved(1), tmp_path)
    assert stack._load(tmp_path) == saved(1)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stack": {}}', '{"stack": {"endpoint": 1}, "other": 2}', "null"])
def test_a_damaged_file_is_no_stack(tmp_path: Path, content: str) -> None:
    (tmp_path / "stack.json").write_text(content)
    assert stack._load(tmp_path) is None
    assert stack.status(tmp_path) == stack.Status(postgres=False, emulator=False, ready=False, stack=None)


def test_a_dead_or_foreign_pid_is_not_our_emulator(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    for pid in (ended.pid, 1, psutil.Process().pid):
        stack._save(saved(pid), tmp_path)
        assert not stack.status(tmp_path).ready
        assert not stack._resumable(saved(pid), tmp_path)
        with pytest.raises(StackError, match="make up"):
            stack.current(tmp_path)


def test_an_apply_that_was_cut_short_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "_answers", lambda _stack, _directory: True)
    assert stack._resumable(saved(1), tmp_path)
    assert not stack._resumable(saved(1, applying=True), tmp_path)


def test_forgetting_ends_our_emulator_and_terraforms_state(
    tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    ours, other_clone = tmp_path / "ours", tmp_path / "ours-too"
    (ours / "terraform").mkdir(parents=True)
    for name in ("terraform.tfstate", "terraform.tfstate.backup", ".terraform.tfstate.lock.info", "initialised"):
        (ours / "terraform" / name).touch()
    stack._save(saved(1), ours)
    processes += [pose_as_emulator(ours), pose_as_emulator(other_clone)]
    worker = [sys.executable, "-c", "import time; time.sleep(60)", str(ours / "emulator" / "tmp" / "worker.py")]
    processes.append(subprocess.Popen(worker))
    emulator, other, orphan = processes
    assert stack._emulators(ours) == [emulator.pid]

    stack._forget(ours)

    assert emulator.wait(5) is not None
    assert orphan.wait(5) is not None
    assert other.poll() is None
    assert [path.name for path in (ours / "terraform").iterdir()] == ["initialised"]
    assert not (ours / "stack.json").exists()


def test_two_commands_at_once_are_refused(tmp_path: Path) -> None:
    with stack._lock(tmp_path):
        for command in (stack.up, stack.down):
            with pytest.raises(StackError, match="Another command"):
                command(directory=tmp_path)
    with stack._lock(tmp_path):
        pass


def test_down_without_a_stack_does_nothing(tmp_path: Path) -> None:
    stack.down(tmp_path / "never")
    assert not (tmp_path / "never").exists()
    stack.down(tmp_path)
    assert stack.status(tmp_path).stack is None


def test_environment_names_the_stack_and_no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet")
    environment = stack.environment(saved(1).stack)
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9"
    assert environment["DATABASE_URL"].startswith("postgresql://auth0_reader@")
    assert environment["DATABASE_URL"].endswith("/auth0")
    assert environment["POSTGRES_DLQ_URL"] == "d1"
    assert environment["DYNAMODB_QUEUE_URL"] == "q2"
    assert environment["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    assert "AWS_PROFILE" not in environment


def test_a_client_ignores_the_callers_aws_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text("[profile real]\nregion = eu-west-1\nendpoint_url = https://real\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    client = saved(1).stack.client("sqs")
    assert client.meta.endpoint_url == "http://127.0.0.1:9"
    assert client.meta.region_name == "us-east-1"
    assert client.meta.config.proxies == {}
    client.close()


def test_the_digest_follows_what_is_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "main.tf").write_text("a")
    monkeypatch.setattr(stack, "CONFIGURATION", tmp_path)
    first = stack._digest({"a": "1"})
    assert stack._digest({"a": "1"}) == first
    assert stack._digest({"a": "2"}) != first
    (tmp_path / "main.tf").write_text("b")
    assert stack._digest({"a": "1"}) != first


def test_the_migrations_answer_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[dict[str, Any]] = iter(
        [{"from": None, "to": "0001"}, {"errorMessage": "no such table"}, {"from": None, "to": None}]
    )

    class Lambda:
        def invoke(self, **_arguments: str) -> dict[str, object]:
            import io

            answer = next(answers)
            error = {"FunctionError": "Unhandled"} if "errorMessage" in answer else {}
            return {"Payload": io.BytesIO(json.dumps(answer).encode()), **error}

    monkeypatch.setattr(stack.Stack, "client", lambda _self, _service: Lambda())
    stack._migrate(saved(1).stack, Quiet())
    for said in ("no such table", '"to": null'):
        with pytest.raises(StackError, match=said):
            stack._migrate(saved(1).stack, Quiet())


def test_steps_are_reported_from_any_thread() -> None:
    seen: list[str] = []

    def work() -> None:
        with Quiet().step("x") as step:
            step.update("y")
            seen.append("done")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["done"] * 4
