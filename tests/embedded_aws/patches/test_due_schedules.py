import pytest

from embedded_aws import EmbeddedAwsError
from tests.embedded_aws.tenant import Tenant, allow


def scheduled(account: Tenant, name: str, **rule: str) -> str:
    """A rule that runs a function once an hour; the URL of the queue to which the function reports."""
    url, queue_arn = account.queue(name)
    source = f"""
        import boto3

        def handler(event, context):
            boto3.client("sqs").send_message(QueueUrl="{url}", MessageBody=event["detail-type"])
    """
    function = account.function(source, allow("sqs:SendMessage", queue_arn), name=name)
    events = account.client("events")
    arn = events.put_rule(Name=name, ScheduleExpression="rate(1 hour)", **rule)["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "target", "Arn": function}])
    account.let_in(function, "events.amazonaws.com", arn)
    return url


def test_an_enabled_rule_is_run_at_once_and_one_that_is_disabled_or_in_another_region_is_not(account: Tenant) -> None:
    enabled, disabled = scheduled(account, "hourly"), scheduled(account, "stopped", State="DISABLED")
    assert "hourly" not in account.aws.run_schedules("us-west-2")
    found = account.aws.run_schedules("us-east-1")
    assert "hourly" in found
    assert "stopped" not in found

    message = account.receive(enabled, seconds=20)
    assert message
    assert message["Body"] == "Scheduled Event"
    account.client("sqs").delete_message(QueueUrl=enabled, ReceiptHandle=message["ReceiptHandle"])
    assert account.receive(enabled, seconds=0) is None
    assert account.receive(disabled, seconds=0) is None


def test_upstream_still_cannot_be_told_that_a_schedule_is_due(unpatched_account: Tenant) -> None:
    scheduled(unpatched_account, "hourly")
    with pytest.raises(EmbeddedAwsError):
        unpatched_account.aws.run_schedules("us-east-1")
