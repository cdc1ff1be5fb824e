"""The record of the providers: made for every platform, compared where their registry answers, and enforced."""

import base64
import hashlib
import os
import re
import time
from pathlib import Path

import hcl2
import pytest

from pipeline.deploy import providers
from pipeline.deploy.deployment import Deployment
from pipeline.deploy.providers import PLATFORMS, Unreachable
from pipeline.provider_lock import LOCK, PROVIDER, RECORD, Provider, ProviderError, machine, read, write
from pipeline.terraform import CONFIGURATION, TerraformError, inherited_environment, provider_address
from tests.deploy.support import FakeTerraform, tiny

VERSIONS = """\
terraform {
  required_providers {
    thing = {
      source = "example.org/acme/thing"
    }
  }
}
"""
THING = "example.org/acme/thing"
BINARY = "terraform-provider-thing_v1.0.0"
FAILED = "some providers could not be\ninstalled: - example.org/acme/thing: "
NOT_AVAILABLE = f"{FAILED}example.org/acme/thing 1.0.0 is not available\nfor none_none"
NO_HOST = f"{FAILED}could not connect\nto example.org: no such host"
NO_VERSION = f"{FAILED}no available releases match 1.0.0"


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    configuration = tiny(tmp_path / "root") / "infra" / "terraform"
    (configuration / "versions.tf").write_text(VERSIONS)
    return configuration


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A mirror with a provider for every platform; to lock or install one does not run it."""
    (tmp_path / "mirror").mkdir(mode=0o755)
    for platform in {*PLATFORMS, machine()}:
        package = tmp_path / "mirror" / "example.org" / "acme" / "thing" / "1.0.0" / platform
        package.mkdir(parents=True)
        (package / BINARY).write_text(platform)
        (package / BINARY).chmod(0o755)
    return tmp_path / "mirror"


def record(configuration: Path, *checksums: str) -> None:
    write(configuration / RECORD, {THING: Provider("1.0.0", checksums)})


def h1(package: Path) -> str:
    """The checksum of an unpacked package, as Go's `dirhash` and Terraform define it."""
    files = sorted(path for path in package.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(package)}\n" for path in files]
    return "h1:" + base64.b64encode(hashlib.sha256("".join(lines).encode()).digest()).decode()


class TestTheRecord:
    def test_names_the_version_that_the_configuration_admits(self) -> None:
        versions = hcl2.loads((CONFIGURATION / "modules" / "auth0-sync" / "versions.tf").read_text())
        assert f'"{read(CONFIGURATION / RECORD)[PROVIDER].version}"' in str(versions).replace("'", '"')

    def test_has_a_checksum_of_every_platforms_package(self) -> None:
        """Terraform's lists are flat; a package has one h1 of its contents and one zh of its archive."""
        hashes = read(CONFIGURATION / RECORD)[PROVIDER].hashes
        for kind in ("h1", "zh"):
            assert len([checksum for checksum in hashes if checksum.startswith(f"{kind}:")]) >= len(PLATFORMS)

    def test_names_no_registry(self) -> None:
        """Terraform and OpenTofu add the name of their own."""
        assert [*read(CONFIGURATION / RECORD)] == [PROVIDER]
        address = provider_address(PROVIDER, inherited_environment())
        assert address.endswith(f"/{PROVIDER}")
        host = address.removesuffix(f"/{PROVIDER}")
        assert host not in (CONFIGURATION / RECORD).read_text()

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": {"version": "1"}}'])
    def test_names_a_damaged_package(self, tmp_path: Path, text: str) -> None:
        (tmp_path / RECORD).write_text(text)
        with pytest.raises(ProviderError, match="make lock-providers"):
            read(tmp_path / RECORD)


class TestFetch:
    """By the real Terraform."""

    def test_has_the_checksums_of_every_platform(self, configuration: Path, mirror: Path) -> None:
        record(configuration, "h1:old")
        packages = [mirror / "example.org" / "acme" / "thing" / "1.0.0" / platform for platform in PLATFORMS]
        assert providers.fetch(configuration, mirror=mirror) == {
            THING: Provider("1.0.0", tuple(sorted(h1(package) for package in packages)))
        }
        assert not (configuration / LOCK).exists(), "it writes in a directory of its own"

    def test_a_platform_that_is_missing_is_named(self, configuration: Path, mirror: Path) -> None:
        with pytest.raises(TerraformError, match=r"is not available for plan9_mips"):
            providers.fetch(configuration, ["plan9_mips"], mirror)

    def test_the_registry_is_asked_for_nothing_that_it_has_to_send(self, configuration: Path, mirror: Path) -> None:
        with pytest.raises(TerraformError, match=r"is not available for"):
            providers.fetch(configuration, [providers.NO_PLATFORM], mirror)

    def test_keeps_the_other_programs_checksums_of_the_same_version(self) -> None:
        recorded = {"a/b": Provider("1", ("h1:terraform",)), "c/d": Provider("1", ("h1:old",))}
        found = {"a/b": Provider("1", ("h1:tofu",)), "c/d": Provider("2", ("h1:new",))}
        made = providers.merged(recorded, found)
        assert {*made["a/b"].hashes} == {"h1:terraform", "h1:tofu"}
        assert made["c/d"] == found["c/d"]


class TestCheck:
    @pytest.fixture
    def checked(self, tmp_path: Path) -> Path:
        return tmp_path / "local" / "checked"

    def registry(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> FakeTerraform:
        """A Terraform that gets this answer where it asks for no platform, and each package where it asks for one."""
        locked = f'provider "{THING}" {{\n  version = "1.0.0"\n  hashes = [\n    "h1:new",\n  ]\n}}'
        script = f"""directory=${{1#-chdir=}}
        case "$*" in
        *none_none*) echo '{answer}' >&2; exit 1;;
        *" lock "*) echo '{locked}' > "$directory/{LOCK}";;
        esac"""
        return FakeTerraform(tmp_path / "bin", monkeypatch, script)

    def test_tries_every_platform_once(
        self, configuration: Path, checked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terraform = self.registry(tmp_path, monkeypatch, NOT_AVAILABLE)
        record(configuration, "h1:new")
        assert "has the recorded checksums" in providers.check(configuration, checked)
        [asked] = [call for call in terraform.calls if "lock" in call and providers.NO_PLATFORM not in call]
        assert asked.count("-platform=") == len(PLATFORMS)
        before = len(terraform.calls)
        assert "before, on every platform" in providers.check(configuration, checked)
        assert len(terraform.calls) == before
        (configuration / "versions.tf").write_text(VERSIONS + "# another version\n")
        assert "has the recorded checksums" in providers.check(configuration, checked)

    def test_a_record_without_a_checksum_fails(
        self, configuration: Path, checked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.registry(tmp_path, monkeypatch, NOT_AVAILABLE)
        for recorded in [{}, {THING: Provider("1.0.0", ("h1:old",))}, {THING: Provider("0.9.0", ("h1:new",))}]:
            write(configuration / RECORD, recorded)
            with pytest.raises(TerraformError, match="make lock-providers"):
                providers.check(configuration, checked)
        record(configuration, "h1:old", "h1:new")
        assert "has the recorded checksums" in providers.check(configuration, checked)

    def test_is_skipped_aloud_where_the_registry_cannot_be_reached(
        self, configuration: Path, checked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.registry(tmp_path, monkeypatch, NO_HOST)
        assert re.search("SKIPPED.*could not connect to example.org", providers.check(configuration, checked))
        assert not checked.exists()

    def test_a_version_that_the_registry_lacks_fails(
        self, configuration: Path, checked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.registry(tmp_path, monkeypatch, NO_VERSION)
        with pytest.raises(TerraformError, match="no available releases"):
            providers.check(configuration, checked)

    def test_does_not_wait_for_a_registry_that_is_silent(
        self, configuration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        FakeTerraform(tmp_path / "bin", monkeypatch, 'case "$*" in *" lock "*) exec sleep 60;; esac')
        begun = time.monotonic()
        with pytest.raises(Unreachable, match=r"no answer in 0\.2 seconds"):
            providers.require_registry(configuration, seconds=0.2)
        assert time.monotonic() - begun < 30


class TestEnforced:
    """A deployment with a record beside its configuration, by the real Terraform and a mirror."""

    @pytest.fixture
    def deployment(self, configuration: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
        monkeypatch.setenv("TF_PLUGIN_MIRROR", str(mirror))
        return Deployment("prod", configuration.parents[1])

    @pytest.fixture
    def package(self, mirror: Path) -> Path:
        return mirror / "example.org" / "acme" / "thing" / "1.0.0" / machine()

    def test_a_recorded_package_is_installed(self, deployment: Deployment, configuration: Path, mirror: Path) -> None:
        """The lock file is made of the record, and Terraform writes nothing into it."""
        write(configuration / RECORD, providers.fetch(configuration, mirror=mirror))
        deployment.prepare()
        assert '"1.0.0"' in (deployment.directory / LOCK).read_text()
        recorded = read(configuration / RECORD)[THING].hashes
        assert re.findall("h1:.{44}", (deployment.directory / LOCK).read_text()) == sorted(recorded)

    def test_changed_package_is_refused(self, deployment: Deployment, configuration: Path, package: Path) -> None:
        """Somebody who can write to the mirror puts a program of theirs into it."""
        record(configuration, h1(package))
        (package / BINARY).write_text("#!/bin/sh\ncurl evil\n")
        with pytest.raises(TerraformError, match=r"(?s)match any.*do not use the package"):
            deployment.prepare()

    def test_package_changed_after_its_installation_is_not_run(
        self, deployment: Deployment, configuration: Path, package: Path
    ) -> None:
        """Terraform links to an unpacked package, and compares its checksum each time."""
        (configuration / "thing.tf").write_text('resource "thing" "x" {}\n')
        record(configuration, h1(package))
        deployment.prepare()
        ran = configuration / "ran"
        (package / BINARY).write_text(f"#!/bin/sh\ntouch {ran}\n")
        said = " ".join(deployment.terraform.run("plan", "-no-color").stderr.split())
        assert "does not match any of the checksums recorded" in said
        assert not ran.exists()

    def test_file_added_to_a_package_is_refused(
        self, deployment: Deployment, configuration: Path, package: Path
    ) -> None:
        record(configuration, h1(package))
        (package / "terraform-provider-thing_v1.0.0_evil").write_text("")
        with pytest.raises(TerraformError, match="match any"):
            deployment.prepare()

    def test_package_without_a_record_is_not_installed(self, deployment: Deployment, configuration: Path) -> None:
        with pytest.raises(TerraformError, match=r"(?s)dependency changes.*make lock-providers"):
            deployment.prepare()
        write(configuration / RECORD, {"example.org/acme/other": Provider("1.0.0", ("h1:x",))})
        with pytest.raises(TerraformError, match=r"(?s)dependency changes.*make lock-providers"):
            deployment.prepare()

    def test_checksums_of_archives_alone_are_refused(self, deployment: Deployment, configuration: Path) -> None:
        """Terraform cannot compare them with an unpacked package, and would accept any."""
        record(configuration, f"zh:{hashlib.sha256().hexdigest()}")
        with pytest.raises(ProviderError, match=r"no h1: checksum of example.org/acme/thing"):
            deployment.prepare()

    def test_stray_lock_file_is_ignored(self, deployment: Deployment, configuration: Path, package: Path) -> None:
        text = f'provider "{THING}" {{\n  version = "1.0.0"\n  hashes = ["{h1(package)}"]\n}}\n'
        (configuration / LOCK).write_text(text)
        deployment.directory.mkdir(parents=True)
        (deployment.directory / LOCK).write_text(text)
        record(configuration, f"h1:{'a' * 43}=")
        with pytest.raises(TerraformError, match="match any"):
            deployment.prepare()

    def test_another_version_needs_another_record(
        self, deployment: Deployment, configuration: Path, package: Path, mirror: Path
    ) -> None:
        record(configuration, h1(package))
        deployment.prepare()
        versions = mirror / "example.org/acme/thing"
        (versions / "1.0.0").rename(versions / "1.1.0")
        text = VERSIONS.replace('acme/thing"', 'acme/thing"\n      version = "1.1.0"')
        (configuration / "versions.tf").write_text(text)
        with pytest.raises(TerraformError, match=r"(?s)configured version constraint.*make lock-providers"):
            deployment.prepare()
        write(configuration / RECORD, {THING: Provider("1.1.0", (h1(versions / "1.1.0" / machine()),))})
        deployment.prepare()
        assert '"1.1.0"' in (deployment.directory / LOCK).read_text()


class TestUnsharedMirror:
    """Between the check and the use, another user of the machine could change a package."""

    @pytest.fixture
    def deployment(self, configuration: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
        monkeypatch.setenv("TF_PLUGIN_MIRROR", str(mirror))
        write(configuration / RECORD, providers.fetch(configuration, mirror=mirror))
        return Deployment("prod", configuration.parents[1])

    @pytest.mark.parametrize("place", ["", "example.org", f"example.org/acme/thing/1.0.0/{machine()}/{BINARY}"])
    @pytest.mark.parametrize("mode", [0o020, 0o002])
    def test_directory_that_others_can_write_is_refused(
        self, deployment: Deployment, mirror: Path, place: str, mode: int
    ) -> None:
        deployment.prepare()
        path = mirror / place
        path.chmod(path.stat().st_mode | mode)
        with pytest.raises(ProviderError, match=r"other users may write to .*chmod -R go-w"):
            deployment.prepare()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_directory_of_another_user_is_refused(self, deployment: Deployment, mirror: Path) -> None:
        os.chown(mirror / "example.org", 12345, -1)
        with pytest.raises(ProviderError, match="belongs to user 12345"):
            deployment.prepare()
