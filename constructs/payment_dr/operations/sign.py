"""Sign the seal of a drill's journal, with a key in KMS or in a file.

Both make the same signature (RSA, PKCS #1 v1.5, SHA-256), and `verify` needs only the public key to check it. A
signature by KMS is also recorded in CloudTrail, with its time and caller.
"""

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from payment_dr.operations.aws import asked
from payment_dr.operations.drill.journal import SignatureRecord
from payment_dr.operations.errors import OperationError
from payment_dr.operations.files import write_whole
from payment_dr.operations.verify import (
    ALGORITHM,
    SEAL,
    CannotTellError,
    canonical,
    changes,
    is_signed_by,
    parsed,
)

KMS = "kms:"
OPENSSL_SECONDS = 60.0


def sign(journal: Path, key: str, kms: Callable[[str], Any] | None = None) -> None:
    """Sign the seal of a journal, and write the signature into it.

    Args:
        journal: The unchanged file of a finished drill.
        key: ``kms:`` and the ARN of an RSA key whose usage is SIGN_VERIFY, or the path of an RSA private key in PEM.
        kms: Returns a client of KMS in a region. Default: boto3's, with the settings of the user.

    Raises:
        OperationError: The journal has no seal or was changed, or there is no such key.
    """
    try:
        content = parsed(journal.read_bytes())
    except (OSError, CannotTellError) as error:
        raise OperationError(
            f"{journal} cannot be signed: {error}", hint="give the JSON file that 'dr drill' wrote"
        ) from error
    if not content.get(SEAL):
        raise OperationError(
            f"{journal} has no seal: the drill did not end", hint="sign the journal of a drill that ended"
        )
    if changed := changes(content):
        raise OperationError(f"{journal} was changed after the drill: {changed[0]}", hint=f"run 'dr verify {journal}'")
    public_key, value = _by_kms(content, key.removeprefix(KMS), kms) if key.startswith(KMS) else _by_file(content, key)
    try:
        is_signed = is_signed_by(public_key, value, content)
    except CannotTellError as error:
        raise OperationError(f"{key} cannot sign: {error}", hint="give an RSA key of 2,048 bits or more") from error
    if not is_signed:
        raise OperationError(f"{key} made a signature that its public key does not verify", hint="give another key")
    signature: SignatureRecord = {
        "key": key if key.startswith(KMS) else Path(key).name,
        "algorithm": ALGORITHM,
        "public_key": base64.b64encode(public_key).decode(),
        "value": base64.b64encode(value).decode(),
    }
    content[SEAL]["signature"] = signature
    write_whole(journal, (json.dumps(content, indent=1) + "\n").encode())


def _by_kms(content: dict[str, Any], arn: str, kms: Callable[[str], Any] | None) -> tuple[bytes, bytes]:
    """Public key and signature.

    KMS signs a digest, so the message may have any size. The public key comes as SubjectPublicKeyInfo in DER:
    https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html
    https://docs.aws.amazon.com/kms/latest/APIReference/API_GetPublicKey.html
    """
    parts = arn.split(":")
    if len(parts) != 6 or parts[2] != "kms":
        raise OperationError(f"{arn} is not the ARN of a KMS key", hint="give kms:arn:aws:kms:REGION:ACCOUNT:key/ID")
    client = kms(parts[3]) if kms else boto3.Session().client("kms", region_name=parts[3])
    found = asked("KMS", lambda: client.get_public_key(KeyId=arn))
    if ALGORITHM not in found.get("SigningAlgorithms", ()):
        raise OperationError(
            f"{arn} does not sign with {ALGORITHM}", hint="make a key of KeyUsage SIGN_VERIFY and KeySpec RSA_3072"
        )
    digest = hashlib.sha256(canonical(content)).digest()
    made = asked(
        "KMS",
        lambda: client.sign(KeyId=arn, Message=digest, MessageType="DIGEST", SigningAlgorithm=ALGORITHM),
    )
    return found["PublicKey"], made["Signature"]


def _by_file(content: dict[str, Any], path: str) -> tuple[bytes, bytes]:
    """Public key and signature."""
    return (
        _openssl(path, "pkey", "-in", path, "-pubout", "-outform", "DER"),
        _openssl(path, "dgst", "-sha256", "-sign", path, given=canonical(content)),
    )


def _openssl(key: str, *arguments: str, given: bytes = b"") -> bytes:
    try:
        done = subprocess.run(
            ["openssl", *arguments], input=given, capture_output=True, timeout=OPENSSL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OperationError(f"openssl does not run: {error}", hint="install OpenSSL, or sign with kms:ARN") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise OperationError(f"{key} cannot sign: {said[0]}", hint="make a key with 'openssl genrsa -out key.pem 3072'")
    return done.stdout
