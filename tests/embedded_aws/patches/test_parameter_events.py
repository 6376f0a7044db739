import json
from typing import Any

import pytest

from tests.embedded_aws.tenant import Tenant


def listen(account: Tenant, region: str = "us-east-1") -> str:
    """URL of a queue that gets every Parameter Store Change event."""
    url, arn = account.queue("events")
    events = account.client("events", region)
    events.put_rule(Name="changes", EventPattern=json.dumps({"source": ["aws.ssm"]}))
    events.put_targets(Rule="changes", Targets=[{"Id": "queue", "Arn": arn}])
    return url


def heard(account: Tenant, queue_url: str) -> Any:
    message = account.receive(queue_url)
    account.client("sqs").delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return json.loads(message["Body"])


def test_a_new_parameter_is_announced(account: Tenant) -> None:
    queue = listen(account)

    account.client("ssm").put_parameter(Name="/app/a", Value="1", Type="SecureString", Description="a key")

    event = heard(account, queue)
    assert (event["source"], event["detail-type"], event["region"]) == (
        "aws.ssm",
        "Parameter Store Change",
        "us-east-1",
    )
    assert event["resources"] == [f"arn:aws:ssm:us-east-1:{account.account_id}:parameter/app/a"]
    assert event["detail"] == {"operation": "Create", "name": "/app/a", "type": "SecureString", "description": "a key"}


def test_upstream_still_announces_nothing(unpatched_account: Tenant) -> None:
    queue = listen(unpatched_account)

    unpatched_account.client("ssm").put_parameter(Name="/app/a", Value="1", Type="String")

    # ministack puts events on a queue before it answers the call that caused them.
    assert unpatched_account.receive(queue, seconds=0) is None, "upstream announces it: parameter_events may go"


def test_an_overwrite_is_announced_as_an_update(account: Tenant) -> None:
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/app/a", Value="1", Type="String")
    queue = listen(account)

    ssm.put_parameter(Name="/app/a", Value="2", Overwrite=True)

    assert heard(account, queue)["detail"] == {"operation": "Update", "name": "/app/a", "type": "String"}


@pytest.mark.parametrize("several", [False, True])
def test_a_deletion_is_announced(account: Tenant, several: bool) -> None:
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/app/a", Value="1", Type="String")
    queue = listen(account)

    if several:
        ssm.delete_parameters(Names=["/app/none", "/app/a"])
    else:
        ssm.delete_parameter(Name="/app/a")

    assert heard(account, queue)["detail"] == {"operation": "Delete", "name": "/app/a", "type": "String"}


def test_a_refused_write_is_not_announced(account: Tenant) -> None:
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/app/a", Value="1", Type="String")
    queue = listen(account)

    with pytest.raises(ssm.exceptions.ParameterAlreadyExists):
        ssm.put_parameter(Name="/app/a", Value="2")
    ssm.put_parameter(Name="/app/b", Value="1", Type="String")

    assert heard(account, queue)["detail"]["name"] == "/app/b"
