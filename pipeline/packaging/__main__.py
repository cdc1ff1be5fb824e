"""`python -m pipeline.packaging`: build every package and print the sizes."""

import argparse
import sys
from pathlib import Path

from pipeline.packaging import FUNCTIONS, ROOT, PackagingError, build, sizes


def main(arguments: list[str] | None = None) -> None:
    """Build every package and print the sizes."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.packaging", description="Build the functions' packages.")
    parser.add_argument("platform", choices=["host", "lambda"], help="host: this machine; lambda: AWS")
    parser.add_argument("--architecture", choices=["arm64", "x86_64"], default="arm64", help="Lambda's; default: arm64")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: build/packages/PLATFORM")
    chosen = parser.parse_args(arguments)
    out = chosen.out or ROOT / "build" / "packages" / chosen.platform
    for function in FUNCTIONS:
        path = build(function, chosen.platform, out, chosen.architecture)
        packed, unpacked = sizes(path)
        sys.stdout.write(f"{path.name:<20} {packed / 1e6:6.1f} MB, unpacked {unpacked / 1e6:6.1f} MB\n")


if __name__ == "__main__":
    try:
        main()
    except PackagingError as error:
        sys.exit(str(error))
