import hashlib
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from .support import ACCOUNT, REGION, ROOT, Aws, allow, name, policy

pytestmark = pytest.mark.emulator

DIGEST = hashlib.sha256(b"a manifest").digest()
SIGN: dict[str, Any] = {"Message": DIGEST, "MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_256"}
IAM = allow("kms:*", "*", Principal={"AWS": ROOT})


def make_key(aws: Aws, *statements: dict[str, Any], **settings: str) -> str:
    kind = {"KeyUsage": "SIGN_VERIFY", "KeySpec": "ECC_NIST_P256"} | settings
    arn: str = aws.client("kms").create_key(Policy=policy(IAM, *statements), **kind)["KeyMetadata"]["Arn"]
    return arn


def test_the_public_key_verifies_what_the_key_signed(aws: Aws) -> None:
    kms, key = aws.client("kms"), make_key(aws)
    signature = kms.sign(KeyId=key, **SIGN)["Signature"]
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, DIGEST, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    assert kms.verify(KeyId=key, Signature=signature, **SIGN)["SignatureValid"]
    with pytest.raises(ClientError, match="KMSInvalidSignature"):
        kms.verify(KeyId=key, Signature=signature, **SIGN | {"Message": DIGEST[::-1]})


@pytest.mark.parametrize(
    ("settings", "request_", "code"),
    [
        ({"KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "RSA_2048"}, {}, "InvalidKeyUsage"),
        ({}, {"SigningAlgorithm": "RSASSA_PSS_SHA_256"}, "InvalidKeyUsage"),
        ({}, {"Message": b"no digest"}, "ValidationException"),
        ({}, {"Message": b"1" * 4097, "MessageType": "RAW"}, "ValidationException"),
    ],
)
def test_requests_that_kms_refuses(aws: Aws, settings: Any, request_: Any, code: str) -> None:
    with pytest.raises(ClientError, match=code):
        aws.client("kms").sign(KeyId=make_key(aws, **settings), **SIGN | request_)


def test_a_caller_needs_the_right_to_sign(aws: Aws) -> None:
    key = make_key(aws)
    signer = aws.user(allow("kms:Sign", key))
    signer.client("kms").sign(KeyId=key, **SIGN)
    other = aws.user(allow("kms:Verify", key))
    with pytest.raises(ClientError, match="AccessDenied"):
        other.client("kms").sign(KeyId=key, **SIGN)


def test_the_right_to_an_alias_is_none_to_its_key(aws: Aws) -> None:
    key, alias = make_key(aws), f"alias/{name('key')}"
    aws.client("kms").create_alias(AliasName=alias, TargetKeyId=key)
    aws.user(allow("kms:Sign", key)).client("kms").sign(KeyId=alias, **SIGN)
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.user(allow("kms:Sign", f"arn:aws:kms:{REGION}:{ACCOUNT}:{alias}")).client("kms").sign(KeyId=alias, **SIGN)


def test_a_key_that_denies_signs_for_nobody_else_not_even_the_account(aws: Aws) -> None:
    signer, administrator = aws.user(allow("kms:*", "*")), aws.user(allow("kms:*", "*"))
    deny = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "kms:Sign",
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:PrincipalArn": signer.arn}},
    }
    key = make_key(aws, deny)
    signer.client("kms").sign(KeyId=key, **SIGN)
    for client in (administrator.client("kms"), aws.client("kms")):
        with pytest.raises(ClientError, match="AccessDenied"):
            client.sign(KeyId=key, **SIGN)
