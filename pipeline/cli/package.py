"""The functions' packages."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from pipeline import packaging
from pipeline.cli.app import AsJson, app, console, print_json


@app.command()
def package(
    platform: Annotated[
        Literal["lambda", "host"], typer.Option(help="lambda: python3.13 on arm64, for AWS. host: this machine.")
    ] = "lambda",
    out: Annotated[Path, typer.Option(help="Directory below which they are written.")] = Path("build/packages"),
    as_json: AsJson = False,
) -> None:
    """Build the zip of each Lambda function; the same inputs give the same bytes."""
    built = {name: packaging.build(name, platform, out / platform) for name in packaging.FUNCTIONS}
    sizes = {name: packaging.sizes(path) for name, path in built.items()}
    if as_json:
        print_json({n: {"path": str(built[n]), "zip_bytes": s[0], "unzipped_bytes": s[1]} for n, s in sizes.items()})
        return
    table = Table("package", "zip", "unzipped", box=None)
    for name, (zipped, unzipped) in sizes.items():
        table.add_row(str(built[name]), f"{zipped / 1e6:.1f} MB", f"{unzipped / 1e6:.1f} MB")
    console.print(table)
