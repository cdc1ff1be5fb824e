"""The certificates that functions verify Aurora by: the roots of RDS, each its own, and nothing else."""

import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline.packaging import PackagingError, rds_ca
from pipeline.sinks.postgres import RDS_CERTIFICATES

NOW = datetime.now(UTC)
YEARS = timedelta(days=365)
FRANKFURT = "Amazon RDS eu-central-1 Root CA ECC384 G1"
IRELAND = "Amazon RDS eu-west-1 Root CA ECC384 G1"

Make = Callable[..., x509.Certificate]


@pytest.fixture(scope="module")
def bundle() -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(rds_ca.BUNDLE.read_bytes())


@pytest.fixture(scope="module")
def make() -> Make:
    """Make a certificate."""
    ours, others = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))

    def certificate(
        name: str, *, days: int = 365, authority: bool = True, own: bool = True, issuer: str | None = None
    ) -> x509.Certificate:
        named = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer or name)]
        return (
            x509.CertificateBuilder(named[1], named[0], ours.public_key(), x509.random_serial_number())
            .not_valid_before(NOW - 10 * YEARS)
            .not_valid_after(NOW + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .sign(ours if own else others, hashes.SHA384())
        )

    return certificate


def test_every_certificate_is_a_root_of_rds_for_years(bundle: list[x509.Certificate]) -> None:
    for certificate in bundle:
        assert rds_ca.NAME.fullmatch(rds_ca.common_name(certificate))
        certificate.verify_directly_issued_by(certificate)
        assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
        [organization] = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        assert organization.value == "Amazon Web Services, Inc."
        assert certificate.not_valid_before_utc < NOW
        assert certificate.not_valid_after_utc > NOW + 10 * YEARS


def test_fingerprints_equal_those_compared_with_other_copies(bundle: list[x509.Certificate]) -> None:
    """Somebody who can change the bundle alone could make the functions trust a server of theirs."""
    lines = (Path(__file__).parent / "rds-ca-fingerprints.txt").read_text().splitlines()
    compared = [line for line in lines if line and not line.startswith("#")]
    assert compared == [
        f"{certificate.fingerprint(hashes.SHA256()).hex()}  {rds_ca.common_name(certificate)}" for certificate in bundle
    ]


def test_every_region_has_its_three_roots(bundle: list[x509.Certificate]) -> None:
    names = [rds_ca.common_name(certificate) for certificate in bundle]
    assert names == sorted(set(names))
    header = rds_ca.BUNDLE.read_text().partition("-----BEGIN")[0]
    regions = re.findall(r"[a-z]{2}-[a-z]+-\d", header.partition("# Regions: ")[2].partition("\n\n")[0])
    assert {"us-east-1", "us-west-2", "eu-central-1", "eu-west-1", "ap-southeast-2", "ap-northeast-1"} <= set(regions)
    algorithms = ("ECC384", "RSA2048", "RSA4096")
    assert names == [f"Amazon RDS {region} Root CA {algorithm} G1" for region in regions for algorithm in algorithms]


def test_the_file_is_as_its_script_makes_it(bundle: list[x509.Certificate]) -> None:
    text = rds_ca.BUNDLE.read_text("utf-8")
    source = text.partition("# Taken from: ")[2].partition("\n# Regions")[0].replace("\n# ", " ")
    assert rds_ca.render(rds_ca.roots(bundle, NOW), source) == text
    assert all(len(line) <= 120 for line in text.splitlines())


def test_openssl_reads_it_as_the_connection_does(bundle: list[x509.Certificate]) -> None:
    assert RDS_CERTIFICATES == rds_ca.BUNDLE
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(RDS_CERTIFICATES)
    assert context.cert_store_stats()["x509_ca"] == len(bundle)


def test_warns_a_year_before_a_root_expires(make: Make) -> None:
    lasting, ending, over = make(IRELAND, days=400), make(FRANKFURT, days=364), make(FRANKFURT, days=-1)
    assert re.search(r"1 roots; the first expires on \d{4}-\d\d-\d\d$", rds_ca.ages([lasting], NOW))
    for certificate in (ending, over):
        warning = rds_ca.ages([lasting, certificate], NOW)
        assert f"WARNING, 1 of 2 expire within a year: {FRANKFURT}" in warning
        assert IRELAND not in warning


def test_the_check_reads_the_bundle_and_fails_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    rds_ca.main(["--check"])
    assert "RDS certificates: 81 roots" in capsys.readouterr().out


def test_takes_the_roots_of_regions_alone(make: Make) -> None:
    roots = [make(FRANKFURT), make(IRELAND)]
    others = [
        make("Amazon RDS Beta us-east-1 Root CA ECC384 G1"),
        make("Amazon RDS Preview us-east-2 Root CA RSA4096 G1"),
        make("Amazon RDS Root 2019 CA"),
        make("Amazon RDS eu-west-1 CA"),
        make("Amazon RDS eu-west-2 Root CA ECC384 G1", days=-1),
        make("Starfield Services Root Certificate Authority - G2"),
    ]
    assert rds_ca.roots([roots[1], *others, roots[0], roots[1]], NOW) == roots
    government = make("Amazon RDS us-gov-west-1 Root CA RSA2048 G1")
    assert rds_ca.roots([government], NOW) == [government]


def test_refuses_what_only_has_the_name_of_a_root(make: Make) -> None:
    for wrong in (make(FRANKFURT, authority=False), make(FRANKFURT, own=False), make(FRANKFURT, issuer="Mallory")):
        with pytest.raises(PackagingError, match=f"{FRANKFURT} is not a root certificate"):
            rds_ca.roots([wrong], NOW)
    with pytest.raises(PackagingError, match="two different certificates"):
        rds_ca.roots([make(FRANKFURT), make(FRANKFURT)], NOW)


def test_the_script_writes_the_bundle(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rds_ca, "ROOT", tmp_path)
    monkeypatch.setattr(rds_ca, "BUNDLE", tmp_path / "bundle.pem")
    all_regions = rds_ca.render([make(FRANKFURT), make("Amazon RDS Root 2019 CA")], "AWS")
    (tmp_path / "global.pem").write_text(all_regions)
    rds_ca.main(["--source", "AWS's global bundle", str(tmp_path / "global.pem")])
    assert capsys.readouterr().out == "1 root certificates of 2 are in bundle.pem\n"
    written = (tmp_path / "bundle.pem").read_text()
    assert "# Taken from: AWS's global bundle\n# Regions: eu-central-1\n" in written
    assert f"\n# {FRANKFURT}\n# until " in written
    (tmp_path / "global.pem").write_text(rds_ca.render([make("Amazon RDS Root 2019 CA")], "AWS"))
    with pytest.raises(PackagingError, match="None of the certificates"):
        rds_ca.main(["--source", "AWS's global bundle", str(tmp_path / "global.pem")])
    assert (tmp_path / "bundle.pem").read_text() == written
