"""`dr report --sign-with kms:ARN` against the KMS of the embedded AWS."""

import base64
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from embedded_aws import EmbeddedAws
from payment_dr.operations import cli
from payment_dr.operations.verify import SEAL, VERIFIED, is_signed_by, seal_of
from tests.operations.report import journals


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P256"])
def test_an_rsa_key_in_kms_signs_a_journal_and_another_one_is_refused(
    spec: str, aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    kms = boto3.client("kms", region_name="eu-west-1")
    arn = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)["KeyMetadata"]["Arn"]
    journal: Any = json.loads(json.dumps(journals.passed()))
    path = tmp_path / "drill.json"
    path.write_text(json.dumps(journal | {SEAL: seal_of(journal)}))

    done = CliRunner().invoke(cli.app, ["report", str(path), "--sign-with", f"kms:{arn}"])

    signature = json.loads(path.read_text())[SEAL].get("signature")
    if spec != "RSA_2048":
        assert (done.exit_code, signature) == (2, None)
        assert f"error: {arn} does not sign with RSASSA_PKCS1_V1_5_SHA_256" in done.stderr
        return
    assert done.exit_code == VERIFIED, done.output
    key = kms.get_public_key(KeyId=arn)["PublicKey"]
    assert (signature["key"], base64.b64decode(signature["public_key"])) == (f"kms:{arn}", key)
    assert is_signed_by(key, base64.b64decode(signature["value"]), journal)
