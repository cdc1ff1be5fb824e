"""The functions' packages."""

from base64 import b64encode
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from pipeline import packaging
from pipeline.cli.app import AsJson, app, print_json
from pipeline.cli.terminal import console, in_markup


@app.command()
def package(
    platform: Annotated[
        Literal["lambda", "host"], typer.Option(help="lambda: Python 3.13, for AWS. host: this machine.")
    ] = "lambda",
    architecture: Annotated[
        packaging.Architecture, typer.Option(help="Architecture of the functions: Terraform's lambda.architecture.")
    ] = "arm64",
    out: Annotated[Path, typer.Option(help="Directory for the zips.")] = Path("build/packages"),
    as_json: AsJson = False,
) -> None:
    """Build the zip of each Lambda function; the same inputs give the same contents, and the same SHA-256 of them."""
    built = {name: packaging.build(name, platform, out / platform, architecture) for name in packaging.FUNCTIONS}
    sizes = {name: packaging.sizes(path) for name, path in built.items()}
    contents = {name: packaging.digest(path) for name, path in built.items()}
    if as_json:
        print_json(
            {
                name: {
                    "path": str(built[name]),
                    "zip_bytes": zipped,
                    "unzipped_bytes": unzipped,
                    "content_sha256": contents[name],
                    "code_sha256": b64encode(bytes.fromhex(packaging.sha256(built[name]))).decode(),
                }
                for name, (zipped, unzipped) in sizes.items()
            }
        )
        return
    table = Table("package", "zip", "unzipped", "SHA-256 of its contents", box=None)
    for name, (zipped, unzipped) in sizes.items():
        most = packaging.FUNCTIONS[name].budget
        table.add_row(
            in_markup(built[name]),
            f"{zipped / 1e6:.1f} of {most.zipped:g} MB",
            f"{unzipped / 1e6:.1f} of {most.unzipped:g} MB",
            contents[name][:16],
        )
    console.print(table)
    console.print(f"SHA-256 of all contents: {packaging.combined(built.values())[:16]}")
