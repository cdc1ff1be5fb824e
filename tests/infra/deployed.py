"""States that Terraform's own tests make: a whole deployment, or a module, in seconds, as the tests mock AWS.

A state also has the dependencies of each resource.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from devstack.terraform import Terraform
from pipeline.terraform import CONFIGURATION, TerraformError, describe

Json = dict[str, Any]


class Resource(NamedTuple):
    """A resource as Terraform's state has it; ``module`` is the address of its module."""

    module: str
    type: str
    name: str
    values: Json
    ancestors: frozenset[str]
    """The blocks that it depends on, directly or not."""

    @property
    def address(self) -> str:
        return f"{self.module}.{self.type}.{self.name}"

    @property
    def block(self) -> str:
        """Return the address without keys of instances, as in Terraform's graph."""
        return re.sub(r"\[[^]]*\]", "", self.address).lstrip(".")


class State:
    """Every managed resource."""

    def __init__(self, root: Json) -> None:
        self.resources = list(self._resources(root, ""))

    def _resources(self, module: Json, address: str) -> Iterator[Resource]:
        for found in module.get("resources", []):
            if found["mode"] == "managed":
                ancestors = frozenset(found.get("depends_on", []))
                yield Resource(address, found["type"], found["name"], found["values"], ancestors)
        for child in module.get("child_modules", []):
            yield from self._resources(child, child["address"])

    def all(self, kind: str, module: str | None = None) -> list[Resource]:
        return [found for found in self.resources if found.type == kind and module in (None, found.module)]

    def one(self, kind: str, module: str) -> Json:
        [found] = self.all(kind, module)
        return found.values


FILES = ("permissions", "observability")
"""The files of the module's tests whose states Python's tests read."""


MODULE = CONFIGURATION / "modules" / "auth0-sync"


def initialised(directory: Path, configuration: Path = MODULE, settings: Mapping[str, str] | None = None) -> Terraform:
    """Return Terraform in a working directory apart from the user's, without the user's variables and AWS account.

    With the settings of `one_provider`, Terraform has no provider to install and to hash.
    """
    terraform = Terraform(directory, configuration=configuration, settings=settings or {})
    terraform.init()
    return terraform


@contextmanager
def one_provider(terraform: Terraform) -> Iterator[Terraform]:
    """Start the installed provider, and yield Terraform that uses this process instead of one for each walk of a graph.

    A start takes 0.2 s of CPU, and Terraform's tests have hundreds; a command that is not a test also hashes a provider
    that it starts, which takes another 0.7 s. A process keeps its last configuration, so those of a root with two have
    to agree in region and tags; ``test_production`` starts a provider for each. Variables of AWS are those of
    ``terraform``, whatever the environment of a later command says.
    """
    [program] = terraform._data.glob("providers/*/hashicorp/aws/*/*/terraform-provider-aws_*")
    host = program.parents[4].name
    with subprocess.Popen(
        [program, "-debug"], env=terraform._environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        try:
            [said] = next(filter(None, (re.findall("TF_REATTACH_PROVIDERS='(.*)'", line) for line in process.stdout)))
            [address] = json.loads(said).values()
            running = {"TF_REATTACH_PROVIDERS": json.dumps({f"{host}/hashicorp/aws": address})}
            yield replace(terraform, settings=running)
        finally:
            process.kill()


def states(terraform: Terraform, *files: str) -> dict[tuple[str, str], Json]:
    """Run files of Terraform's tests; return the root module of each run's state, by file and run.

    Raises TerraformError if a run fails.
    """
    done = terraform._run("test", "-json", "-verbose", *(f"-filter=tests/{file}.tftest.hcl" for file in files))
    if done.returncode != 0:
        lines = (json.loads(line) for line in done.stdout.split("\n") if '"type":"diagnostic"' in line)
        raise TerraformError(
            "terraform test failed:\n" + (describe(line["diagnostic"] for line in lines) or done.stderr)
        )
    found = {}
    for line in done.stdout.split("\n"):
        if '"type":"test_state"' in line:
            file, run = (re.findall(rf'"@{part}":"(.*?)"', line)[0] for part in ("testfile", "testrun"))
            found[Path(file).name.partition(".")[0], run] = _value(line, "root_module")
    return found


def _value(line: str, name: str) -> Json:
    """Return one member of a line of JSON. Beside it are the provider's schemas, which take a third of a second."""
    place = line.index(f'"{name}":') + len(f'"{name}":')
    value: Json = json.JSONDecoder().raw_decode(line, place)[0]
    return value


def everything(terraform: Terraform) -> Json:
    """Return the root module with everything switched on."""
    return states(terraform, "permissions")["permissions", "everything"]
