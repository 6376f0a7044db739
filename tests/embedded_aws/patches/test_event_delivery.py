import json
from typing import Any

from tests.embedded_aws.tenant import Tenant, allow, eventually

FAILS = """
    def handler(event, context):
        raise ValueError("no")
"""


def queue_for_events(account: Tenant, name: str, source_arn: str) -> tuple[str, str]:
    return account.queue(
        name,
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": f"arn:aws:sqs:us-east-1:{account.account_id}:{name}",
            "Condition": {"ArnEquals": {"aws:SourceArn": source_arn}},
        },
    )


def rule_to(account: Tenant, target_arn: str, dead_letter_queue_arn: str | None = None) -> str:
    events = account.client("events")
    rule: str = events.put_rule(Name="orders", EventPattern=json.dumps({"source": ["shop"]}))["RuleArn"]
    dead_letter = {"DeadLetterConfig": {"Arn": dead_letter_queue_arn}} if dead_letter_queue_arn else {}
    events.put_targets(Rule="orders", Targets=[{"Id": "target", "Arn": target_arn, **dead_letter}])
    return rule


def order(account: Tenant) -> None:
    account.client("events").put_events(Entries=[{"Source": "shop", "DetailType": "order", "Detail": '{"id": 7}'}])


def fail_with_destination(account: Tenant, *rights: dict[str, Any]) -> str:
    """URL of the queue that failed events of a function should go to."""
    url, queue_arn = account.queue("failures")
    function = account.function(FAILS, *rights)
    account.client("lambda").put_function_event_invoke_config(
        FunctionName=function, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": queue_arn}}
    )
    rule = rule_to(account, function)
    account.let_in(function, "events.amazonaws.com", rule)
    order(account)
    return url


def test_a_failed_event_goes_to_the_functions_destination(account: Tenant) -> None:
    send = allow("sqs:SendMessage", f"arn:aws:sqs:us-east-1:{account.account_id}:failures")

    message = account.receive(fail_with_destination(account, send))

    record = json.loads(message["Body"])
    assert record["requestPayload"]["detail"] == {"id": 7}
    assert record["responsePayload"]["errorMessage"] == "no"


def test_a_role_without_the_right_cannot_send_to_the_destination(account: Tenant) -> None:
    url = fail_with_destination(account)

    queue = f"arn:aws:sqs:us-east-1:{account.account_id}:failures"
    refusal = f"role/function-role is not authorized to perform: sqs:SendMessage on resource: {queue}"
    assert eventually(lambda: refusal in account.aws.log_text())
    assert account.receive(url, seconds=0) is None


def test_upstream_still_forgets_failed_events(unpatched_account: Tenant) -> None:
    url = fail_with_destination(unpatched_account)

    assert unpatched_account.receive(url, seconds=3) is None, "upstream fixed this: that part of event_delivery may go"


def test_a_failed_event_is_tried_three_times(account: Tenant) -> None:
    url, queue_arn = account.queue("attempts")
    source = f"""
        import boto3

        def handler(event, context):
            boto3.client("sqs").send_message(QueueUrl="{url}", MessageBody="attempt")
            raise ValueError("no")
    """
    function = account.function(source, allow("sqs:SendMessage", queue_arn))
    account.let_in(function, "events.amazonaws.com", rule_to(account, function))

    order(account)

    attempts = []
    for _ in range(3):
        message = account.receive(url)
        attempts.append(message["Body"])
        account.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert attempts == ["attempt"] * 3


def dead_letter(account: Tenant, function_arn: str) -> Any:
    rule = f"arn:aws:events:us-east-1:{account.account_id}:rule/orders"
    url, queue_arn = queue_for_events(account, "dead-letters", rule)
    rule_to(account, function_arn, queue_arn)
    order(account)
    return account.receive(url, seconds=2)


def missing(account: Tenant) -> str:
    return f"arn:aws:lambda:us-east-1:{account.account_id}:function:missing"


def attributes_of(message: Any) -> dict[str, str]:
    return {name: attribute["StringValue"] for name, attribute in message["MessageAttributes"].items()}


def test_an_event_for_a_missing_function_is_dead_lettered(account: Tenant) -> None:
    message = dead_letter(account, missing(account))

    assert json.loads(message["Body"])["detail"] == {"id": 7}
    attributes = attributes_of(message)
    assert attributes["ERROR_CODE"] == "NO_RESOURCE"
    assert attributes["TARGET_ARN"] == missing(account)
    assert attributes["RULE_ARN"].endswith(":rule/orders")


def test_an_event_for_a_function_that_does_not_let_the_rule_in_is_dead_lettered(account: Tenant) -> None:
    function = account.function(FAILS)
    account.let_in(function, "events.amazonaws.com", f"arn:aws:events:us-east-1:{account.account_id}:rule/another")

    assert attributes_of(dead_letter(account, function))["ERROR_CODE"] == "NO_PERMISSIONS"


def test_a_queue_that_does_not_let_the_rule_in_gets_no_dead_letter(account: Tenant) -> None:
    url, queue_arn = queue_for_events(account, "dead-letters", "arn:aws:events:us-east-1:000000000000:rule/another")
    rule_to(account, missing(account), queue_arn)

    order(account)

    assert account.receive(url, seconds=0) is None


def test_upstream_still_drops_what_it_cannot_deliver(unpatched_account: Tenant) -> None:
    message = dead_letter(unpatched_account, missing(unpatched_account))

    assert message is None, "upstream dead-letters: that part of event_delivery may go"
