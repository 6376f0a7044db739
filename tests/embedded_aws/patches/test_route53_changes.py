from typing import Any

import pytest

from tests.embedded_aws.tenant import Tenant

TERRAFORM = "APN/1.0 HashiCorp/1.0 Terraform/1.11.4 (+https://www.terraform.io) terraform-provider-aws/5.100.0"


def route53(account: Tenant, user_agent: str | None) -> Any:
    client = account.client("route53")
    if user_agent:
        client.meta.events.register(
            "before-send.route53", lambda request, **_: request.headers.update({"User-Agent": user_agent})
        )
    return client


def change_a_record(account: Tenant, user_agent: str | None) -> tuple[Any, Any]:
    """What the creation of a zone and of a record in it answer."""
    client = route53(account, user_agent)
    zone = client.create_hosted_zone(Name="shop.test", CallerReference="once")
    record = {"Name": "a.shop.test", "Type": "A", "TTL": 30, "ResourceRecords": [{"Value": "192.0.2.1"}]}
    changed = client.change_resource_record_sets(
        HostedZoneId=zone["HostedZone"]["Id"],
        ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]},
    )
    return zone, changed


def test_terraform_is_not_told_of_a_change_to_wait_for(account: Tenant) -> None:
    zone, changed = change_a_record(account, TERRAFORM)

    assert ("ChangeInfo" in zone, "ChangeInfo" in changed) == (False, False)
    records = account.client("route53").list_resource_record_sets(HostedZoneId=zone["HostedZone"]["Id"])
    assert "a.shop.test." in [record["Name"] for record in records["ResourceRecordSets"]]


def test_other_clients_can_ask_about_their_change(account: Tenant) -> None:
    _, changed = change_a_record(account, None)

    change = account.client("route53").get_change(Id=changed["ChangeInfo"]["Id"])["ChangeInfo"]
    assert change["Id"] == changed["ChangeInfo"]["Id"]


@pytest.mark.parametrize("which", [0, 1], ids=["zone", "record"])
def test_upstream_still_makes_terraform_wait(unpatched_account: Tenant, which: int) -> None:
    answers = change_a_record(unpatched_account, TERRAFORM)

    # The wait is the provider's own: this patch stays until it asks at once, or the emulator lets it.
    assert "ChangeInfo" in answers[which]
