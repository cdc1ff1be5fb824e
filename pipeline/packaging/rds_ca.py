"""Make `pipeline/sinks/rds-ca-bundle.pem`, the root certificates of RDS by which functions verify their database.

Of AWS's bundle it keeps the three roots of each region, which a database can have today, and drops expired ones and
those of AWS's own tests.

    curl -O https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem
    python -m pipeline.packaging.rds_ca --source "AWS's global bundle, $(date -I)" global-bundle.pem

`tests/devstack/rds-ca-fingerprints.txt` has the fingerprints once more, to be changed by hand. `make check` runs this
with `--check`, which warns of roots that expire soon.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from pipeline.packaging.target import ROOT, PackagingError

BUNDLE: Final = ROOT / "pipeline" / "sinks" / "rds-ca-bundle.pem"
NAME: Final = re.compile(r"Amazon RDS (?P<region>[a-z]{2}(-[a-z]+)+-\d+) Root CA (RSA2048|RSA4096|ECC384) G\d+")
"""Common name of a region's root; roots of Beta and Preview do not match."""

SOON: Final = timedelta(days=365)
"""Time before the end of a root in which `make check` warns."""

HEADER: Final = """\
# Root certificates of Amazon RDS: the functions verify Aurora by them (sslmode=verify-full).
#
# AWS publishes them at https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem, and those of GovCloud and
# China at addresses of their own: "Using SSL/TLS to encrypt a connection" in the Aurora user guide has them all.
# To renew this file, or to add a region: pipeline/packaging/rds_ca.py.
#
"""


def common_name(certificate: x509.Certificate) -> str:
    """Return the common name of the subject, such as `Amazon RDS eu-central-1 Root CA RSA2048 G1`."""
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def roots(certificates: Iterable[x509.Certificate], now: datetime) -> list[x509.Certificate]:
    """Return the roots of regions, by name. Raises PackagingError for one that is no authority or not self-signed."""
    found: dict[str, x509.Certificate] = {}
    for certificate in certificates:
        name = common_name(certificate)
        if not NAME.fullmatch(name) or certificate.not_valid_after_utc <= now:
            continue
        try:
            certificate.verify_directly_issued_by(certificate)
            authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (ValueError, InvalidSignature, x509.ExtensionNotFound):
            authority = False
        if not authority:
            raise PackagingError(f"{name} is not a root certificate: it must be signed by itself and be an authority")
        if found.setdefault(name, certificate) != certificate:
            raise PackagingError(f"There are two different certificates named {name}")
    return [certificate for _, certificate in sorted(found.items())]


def render(certificates: Iterable[x509.Certificate], source: str) -> str:
    """Return the bundle: its regions, and above each certificate its name, its last day and its fingerprint."""
    named = [(common_name(certificate), certificate) for certificate in certificates]
    regions = sorted({match["region"] for name, _ in named if (match := NAME.fullmatch(name))})
    parts = [HEADER + "\n".join(map(_comment, (f"Taken from: {source}", f"Regions: {', '.join(regions)}"))) + "\n"]
    for name, certificate in named:
        digest = certificate.fingerprint(hashes.SHA256()).hex()
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        parts.append(f"# {name}\n# until {certificate.not_valid_after_utc:%Y-%m-%d}, SHA-256 {digest}\n{pem}")
    return "\n".join(parts)


def _comment(text: str) -> str:
    return textwrap.fill(text, 118, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def ages(certificates: Iterable[x509.Certificate], now: datetime) -> str:
    """Return when the first root expires, or a warning with the roots that have expired or expire soon."""
    ends = sorted((certificate.not_valid_after_utc, common_name(certificate)) for certificate in certificates)
    if ending := [f"{name} ({end:%Y-%m-%d})" for end, name in ends if end - now < SOON]:
        return (
            f"RDS certificates: WARNING, {len(ending)} of {len(ends)} expire within a year: {', '.join(ending)}. "
            "Renew the bundle: pipeline/packaging/rds_ca.py"
        )
    return f"RDS certificates: {len(ends)} roots; the first expires on {ends[0][0]:%Y-%m-%d}"


def main(arguments: list[str] | None = None) -> None:
    """Make the bundle from the roots in the files, or check the age of its roots."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.packaging.rds_ca", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="only say when the bundle's roots expire")
    parser.add_argument("--source", help="where the certificates are from, for the bundle's header")
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="bundle of certificates, PEM")
    chosen = parser.parse_args(arguments)
    if chosen.check:
        sys.stdout.write(ages(x509.load_pem_x509_certificates(BUNDLE.read_bytes()), datetime.now(UTC)) + "\n")
        return
    if not chosen.source or not chosen.files:
        parser.error("--source and a FILE are needed")
    read = [certificate for file in chosen.files for certificate in x509.load_pem_x509_certificates(file.read_bytes())]
    found = roots(read, datetime.now(UTC))
    if not found:
        raise PackagingError("None of the certificates is a root of RDS")
    BUNDLE.write_text(render(found, chosen.source), "utf-8")
    sys.stdout.write(f"{len(found)} root certificates of {len(read)} are in {BUNDLE.relative_to(ROOT)}\n")


if __name__ == "__main__":
    try:
        main()
    except (PackagingError, OSError, ValueError) as error:
        sys.exit(str(error))
