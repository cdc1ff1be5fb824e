"""The public key that verifies the manifests' signatures, from KMS or from a file."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from pipeline.archive.signed import Verify
from pipeline.errors import Auth0SyncError

PEM = b"-----BEGIN"


class NotPublicKey(Auth0SyncError):
    """The file holds no public key of the kind that signs manifests: an elliptic curve in PEM or DER form."""


def load(content: bytes) -> Verify:
    """Return the check of a signature by this key, as KMS's GetPublicKey returns it or as `openssl` writes it.

    Raises NotPublicKey.
    """
    load = serialization.load_pem_public_key if content.startswith(PEM) else serialization.load_der_public_key
    try:
        key = load(content)
    except ValueError:
        raise NotPublicKey from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise NotPublicKey(type(key).__name__)

    def verify(digest: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        except InvalidSignature:
            return False
        return True

    return verify
