"""The bill of materials of a package, in CycloneDX: its dependencies, with the wheels that they came from.

It depends on the package's contents alone, so that two builds of the same contents have the same one.
"""

import zipfile
from collections.abc import Mapping
from email.message import Message
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from pipeline.packaging.zips import digest

_CLASSIFIER = "License :: OSI Approved :: "


def write(package: Path, wheels: Mapping[str, str]) -> Path:
    """Write `NAME.cdx.json` beside the package and return its path. `wheels` has each one's SHA-256 by name."""
    bom = Bom()
    # Both are optional in CycloneDX, unlike in the library's types, which fills them with a random number and the time.
    bom.serial_number = None  # type: ignore[assignment]
    bom.metadata.timestamp = None  # type: ignore[assignment]
    ours = Component(
        name=f"auth0-sync-{package.stem}",
        version=version("auth0-sync"),
        type=ComponentType.APPLICATION,
        bom_ref=package.stem,
        properties=[Property(name="auth0-sync:content_sha256", value=digest(package))],
    )
    bom.metadata.component = ours
    dependencies = [_component(metadata, wheels) for metadata in _distributions(package)]
    bom.components.update(dependencies)
    bom.register_dependency(ours, dependencies)
    file = package.with_suffix(".cdx.json")
    file.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n", "utf-8")
    return file


def _distributions(package: Path) -> list[Message]:
    """Return the metadata of the installed packages: "Core metadata specifications" of the PyPA describe it."""
    with zipfile.ZipFile(package) as content:
        names = [name for name in content.namelist() if name.endswith(".dist-info/METADATA")]
        return [Parser().parsestr(content.read(name).decode(), headersonly=True) for name in names]


def _component(metadata: Message, wheels: Mapping[str, str]) -> Component:
    name = canonicalize_name(metadata["Name"])
    url = PackageURL("pypi", name=name, version=metadata["Version"])
    known = wheels.get(name)
    licence = _licence(metadata)
    return Component(
        name=name,
        version=metadata["Version"],
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=str(url),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=known)] if known else [],
        licenses=[licence] if licence else [],
    )


def _licence(metadata: Message) -> License | None:
    """Return the licence: the expression, else a short text, else a classifier."""
    text = metadata["License-Expression"] or metadata["License"]
    if not text or len(text) > 100 or "\n" in text:
        classifiers = metadata.get_all("Classifier", [])
        text = next((entry.removeprefix(_CLASSIFIER) for entry in classifiers if entry.startswith(_CLASSIFIER)), None)
    return LicenseFactory().make_from_string(text) if text else None
