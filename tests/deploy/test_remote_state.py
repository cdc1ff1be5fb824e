"""State in S3, by the real Terraform on the emulator's bucket: two machines see the same, and not at the same time."""

import subprocess
import time
from pathlib import Path

import pytest

from pipeline.deploy import DeployError, planning
from pipeline.deploy.applying import apply
from pipeline.deploy.deployment import Deployment, State
from pipeline.deploy.failures import explain
from pipeline.progress import Quiet
from pipeline.terraform import TerraformError, version
from tests.deploy.support import tiny
from tests.emulator.support import REGION, Aws

pytestmark = pytest.mark.skipif(
    tuple(map(int, version().split("-")[0].split(".")[:2])) < (1, 10), reason="use_lockfile is of Terraform 1.10"
)

VARIABLES = 'environment = "prod"\nauth0 = { log_stream_source_name = "aws.partner/auth0.com/acme-1/auth0.logs" }\n'
THING = """\
resource "terraform_data" "thing" {
  input = "one"
}

output "thing" {
  value = terraform_data.thing.output
}
"""
SLOW = '  provisioner "local-exec" {\n    command = "sleep 4"\n  }\n'


@pytest.fixture
def bucket(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {
        "AWS_ENDPOINT_URL": aws.emulator.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return aws.bucket()


def machine(root: Path, bucket: str | None, thing: str = THING) -> Deployment:
    """A clone on a machine of its own."""
    deployment = Deployment("prod", tiny(root, variables=VARIABLES))
    (root / "infra" / "terraform" / "main.tf").write_text(thing)
    if bucket:
        keep_in(deployment, bucket)
    return deployment


def keep_in(deployment: Deployment, bucket: str) -> None:
    deployment.backend_file.write_text(
        f'bucket = "{bucket}"\nkey = "auth0-sync/prod.tfstate"\nregion = "{REGION}"\nuse_lockfile = true\n'
        "use_path_style = true\n"
    )


def deploy(deployment: Deployment) -> None:
    deployment.prepare()
    apply(deployment, planning.make(deployment), Quiet())


def test_second_machine_knows_the_deployment(tmp_path: Path, bucket: str, aws: Aws) -> None:
    deploy(machine(tmp_path / "one", bucket))
    assert aws.keys(bucket) == ["auth0-sync/prod.tfstate"]
    other = machine(tmp_path / "two", bucket)
    other.prepare()
    assert other.state() == State({"thing": "one"}, ["terraform_data.thing"])
    assert planning.make(other).empty
    assert not list((tmp_path / "one/.deploy/prod").glob("terraform.tfstate*"))


def test_a_state_on_this_machine_is_moved_as_the_message_says(tmp_path: Path, bucket: str) -> None:
    deployment = machine(tmp_path / "one", None)
    deployment.prepare()
    assert deployment.state() == State({}, [])
    deploy(deployment)
    assert deployment.state() == State({"thing": "one"}, ["terraform_data.thing"])
    keep_in(deployment, bucket)
    with pytest.raises(DeployError, match="Move it once") as raised:
        deployment.prepare()
    for line in str(raised.value).splitlines()[1:]:
        answer = "yes\n" if "init" in line else ""
        done = subprocess.run(
            line, shell=True, cwd=deployment.root, input=answer, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert not list(deployment.directory.glob("*.tfstate*"))
    deployment.prepare()
    assert deployment.state().outputs == {"thing": "one"}
    assert planning.make(deployment).empty


def test_two_machines_do_not_deploy_at_once(tmp_path: Path, bucket: str, aws: Aws) -> None:
    slow = machine(tmp_path / "one", bucket, THING.replace('"one"\n', f'"one"\n{SLOW}', 1))
    other = machine(tmp_path / "two", bucket)
    for deployment in (slow, other):
        deployment.prepare()
    planning.make(slow)
    with subprocess.Popen(
        ["terraform", f"-chdir={slow.directory}", "apply", "-json", slow.plan_file],
        env=slow.terraform.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 30
        while "auth0-sync/prod.tfstate.tflock" not in aws.keys(bucket):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(TerraformError) as raised:
            planning.make(other)
        said = explain("prod", raised.value, {})
        assert process.wait(60) == 0
    assert said.startswith("Somebody else is at work on prod: ")
    assert "force-unlock" in said
    assert planning.make(other).empty
