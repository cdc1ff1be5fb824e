"""Packages of the Lambda functions: one zip each, of pinned and hashed dependencies and the modules it runs.

A package has two layers. pip installs its dependencies once, and `build/cache/` keeps them compressed; a build appends
the project's own files to a copy, so a changed module needs no installation. A cached layer counts only in the clone
that built it.

Builds are reproducible: a package's contents depend on the repository alone, and `digest` identifies them. The bytes of
the zip also depend on Python's zlib: another one may compress the same contents to other bytes, which Terraform takes
for a change.

    python -m pipeline.packaging lambda
"""

import shutil
import tempfile
import zipfile
from pathlib import Path

from pipeline.packaging import dependencies, sources
from pipeline.packaging.functions import FUNCTIONS
from pipeline.packaging.target import ROOT, Architecture, PackagingError, Platform, Target
from pipeline.packaging.zips import add, combined, digest, sha256, sizes

__all__ = [
    "FUNCTIONS",
    "ROOT",
    "Architecture",
    "PackagingError",
    "Platform",
    "build",
    "combined",
    "digest",
    "sha256",
    "sizes",
]


def build(function: str, platform: Platform, out_dir: Path, architecture: Architecture = "arm64") -> Path:
    """Build the package of a function and return `<out_dir>/<function>.zip`. Raises PackagingError.

    `architecture` is Lambda's; `host` is always this machine's. One for Lambda gets a bill of materials beside it.
    """
    spec = FUNCTIONS[function]
    ours = sources.files(spec)
    layer = dependencies.layer(function, spec, Target(platform, architecture))
    out_dir.mkdir(parents=True, exist_ok=True)
    target = out_dir / f"{function}.zip"
    with tempfile.NamedTemporaryFile(dir=out_dir, prefix=f".{function}-", delete=False) as unfinished:
        path = Path(unfinished.name)
        try:
            with layer.open("rb") as installed:
                shutil.copyfileobj(installed, unfinished)
            with zipfile.ZipFile(unfinished, "a", zipfile.ZIP_DEFLATED) as package:
                for name, source in ours:
                    add(package, name, source)
            unfinished.close()
            path.chmod(0o644)
            path.replace(target)
        finally:
            path.unlink(missing_ok=True)
    if platform == "lambda":
        from pipeline.packaging import sbom  # half a second, which only this needs

        sbom.write(target, dependencies.wheels(layer))
    return target
