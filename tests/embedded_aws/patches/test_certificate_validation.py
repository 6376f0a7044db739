from tests.embedded_aws.certificates import certificate, proof, requested, write
from tests.embedded_aws.tenant import Tenant


def test_one_record_issues_the_certificates_of_both_regions(account: Tenant) -> None:
    regions = ("us-east-1", "us-west-2")
    arns = {region: requested(account, region) for region in regions}
    assert {certificate(account, *pair)["Status"] for pair in arns.items()} == {"PENDING_VALIDATION"}

    wanted = proof(account, "us-east-1", arns["us-east-1"])
    assert proof(account, "us-west-2", arns["us-west-2"]) == wanted
    write(account, wanted["Name"], wanted["Value"])
    assert {certificate(account, *pair)["Status"] for pair in arns.items()} == {"ISSUED"}


def test_a_record_with_another_value_proves_nothing(account: Tenant) -> None:
    arn = requested(account, "us-east-1")
    write(account, proof(account, "us-east-1", arn)["Name"], "other.acm-validations.aws.")
    assert certificate(account, "us-east-1", arn)["Status"] == "PENDING_VALIDATION"


def test_another_account_is_asked_for_another_record(account: Tenant) -> None:
    other = Tenant(account.aws)
    pair = [proof(each, "us-east-1", requested(each, "us-east-1")) for each in (account, other)]
    assert pair[0] != pair[1]


def test_upstream_still_issues_at_once(unpatched_account: Tenant) -> None:
    arn = requested(unpatched_account, "us-east-1")
    assert certificate(unpatched_account, "us-east-1", arn)["Status"] == "ISSUED"
