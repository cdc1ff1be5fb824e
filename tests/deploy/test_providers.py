"""The lock file of the providers: made for every platform, tried where their registry answers, and honoured."""

import hashlib
import re
import time
from pathlib import Path

import pytest

from pipeline.deploy import providers
from pipeline.deploy.deployment import Deployment
from pipeline.deploy.providers import PLATFORMS, Unreachable
from pipeline.terraform import LOCK, TerraformError, machine
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
    for platform in {*PLATFORMS, machine()}:
        package = tmp_path / "mirror" / "example.org" / "acme" / "thing" / "1.0.0" / platform
        package.mkdir(parents=True)
        (package / "terraform-provider-thing_v1.0.0").write_text(platform)
        (package / "terraform-provider-thing_v1.0.0").chmod(0o755)
    return tmp_path / "mirror"


def entry(*checksums: str) -> str:
    quoted = "".join(f'    "{checksum}",\n' for checksum in checksums)
    return f'provider "example.org/acme/thing" {{\n  version = "1.0.0"\n  hashes = [\n{quoted}  ]\n}}\n'


class TestLock:
    """By the real Terraform."""

    def test_has_the_checksums_of_every_platform(self, configuration: Path, mirror: Path) -> None:
        (configuration / LOCK).write_text(entry("h1:old"))
        made = providers.lock(configuration, mirror=str(mirror))
        assert len(re.findall(r'"h1:.{44}"', made)) == len(PLATFORMS)
        assert "h1:old" not in made
        assert (configuration / LOCK).read_text() == entry("h1:old"), "it writes in a directory of its own"

    def test_a_platform_that_is_missing_is_named(self, configuration: Path, mirror: Path) -> None:
        with pytest.raises(TerraformError, match=r"is not available for plan9_mips"):
            providers.lock(configuration, ["plan9_mips"], str(mirror))

    def test_the_registry_is_asked_for_nothing_that_it_has_to_send(self, configuration: Path, mirror: Path) -> None:
        with pytest.raises(TerraformError, match=r"is not available for"):
            providers.lock(configuration, [providers.NO_PLATFORM], str(mirror))


class TestCheck:
    @pytest.fixture
    def checked(self, tmp_path: Path) -> Path:
        return tmp_path / "local" / "checked"

    def registry(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> FakeTerraform:
        """A Terraform that gets this answer where it asks for no platform, and each package where it asks for one."""
        script = f"""directory=${{1#-chdir=}}
        case "$*" in
        *none_none*) echo '{answer}' >&2; exit 1;;
        *" lock "*) echo '"h1:new"' > "$directory/{LOCK}";;
        esac"""
        return FakeTerraform(tmp_path / "bin", monkeypatch, script)

    def test_tries_every_platform_once(
        self, configuration: Path, checked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terraform = self.registry(tmp_path, monkeypatch, NOT_AVAILABLE)
        assert "can be locked" in providers.check(configuration, checked)
        assert terraform.calls[-1].count("-platform=") == len(PLATFORMS)
        assert not (configuration / LOCK).exists()
        before = len(terraform.calls)
        assert "checked before" in providers.check(configuration, checked)
        assert len(terraform.calls) == before
        (configuration / "versions.tf").write_text(VERSIONS + "# another version\n")
        assert "can be locked" in providers.check(configuration, checked)

    def test_a_lock_file_without_a_checksum_fails(
        self, configuration: Path, checked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.registry(tmp_path, monkeypatch, NOT_AVAILABLE)
        (configuration / LOCK).write_text(entry("h1:old"))
        with pytest.raises(TerraformError, match="make lock-providers"):
            providers.check(configuration, checked)
        (configuration / LOCK).write_text(entry("h1:old", "h1:new"))
        assert "can be locked" in providers.check(configuration, checked)

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


class TestHonoured:
    """A deployment with the lock file beside the configuration, by the real Terraform and a mirror."""

    @pytest.fixture
    def deployment(self, configuration: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
        monkeypatch.setenv("TF_PLUGIN_MIRROR", str(mirror))
        return Deployment("prod", configuration.parents[1])

    def test_the_package_that_it_names_is_installed(
        self, deployment: Deployment, configuration: Path, mirror: Path
    ) -> None:
        made = providers.lock(configuration, mirror=str(mirror))
        (configuration / LOCK).write_text(made)
        deployment.prepare()
        assert set(re.findall("h1:.{44}", (deployment.directory / LOCK).read_text())) == set(
            re.findall("h1:.{44}", made)
        )
        assert (configuration / LOCK).read_text() == made

    def test_another_package_is_not(self, deployment: Deployment, configuration: Path) -> None:
        (configuration / LOCK).write_text(entry(f"h1:{'a' * 43}="))
        with pytest.raises(TerraformError, match=r"(?s)match any.*Delete it, or: make lock-providers"):
            deployment.prepare()
        (configuration / LOCK).unlink()
        deployment.prepare()

    def test_with_checksums_of_archives_alone_an_unpacked_package_is_taken(
        self, deployment: Deployment, configuration: Path
    ) -> None:
        """Terraform cannot compare the two, and adds the checksum that it can."""
        (configuration / LOCK).write_text(entry(f"zh:{hashlib.sha256().hexdigest()}"))
        deployment.prepare()
        staged = (deployment.directory / LOCK).read_text()
        deployment.prepare()
        assert (deployment.directory / LOCK).read_text() == staged != (configuration / LOCK).read_text()

    def test_without_one_an_installed_version_is_kept_until_another_is_wanted(
        self, deployment: Deployment, configuration: Path, mirror: Path
    ) -> None:
        def installed() -> list[int]:
            found = (deployment.directory / ".terraform" / "providers").glob("*/*/*/*/*")
            return [path.lstat().st_mtime_ns for path in found]

        deployment.prepare()
        first = installed()
        assert first
        (configuration / "more.tf").touch()
        deployment.prepare()
        assert installed() == first

        versions = mirror / "example.org/acme/thing"
        for package in (versions / "1.0.0").iterdir():
            (package / "terraform-provider-thing_v1.0.0").rename(package / "terraform-provider-thing_v1.1.0")
        (versions / "1.0.0").rename(versions / "1.1.0")
        text = VERSIONS.replace('acme/thing"', 'acme/thing"\n      version = "1.1.0"')
        (configuration / "versions.tf").write_text(text)
        deployment.prepare()
        assert '"1.1.0"' in (deployment.directory / LOCK).read_text()
