import json

from tests.embedded_aws.tenant import Tenant, allow, eventually


def rule_to(account: Tenant, target_arn: str) -> str:
    events = account.client("events")
    rule: str = events.put_rule(Name="orders", EventPattern=json.dumps({"source": ["shop"]}))["RuleArn"]
    events.put_targets(Rule="orders", Targets=[{"Id": "target", "Arn": target_arn}])
    return rule


def order(account: Tenant) -> None:
    account.client("events").put_events(Entries=[{"Source": "shop", "DetailType": "order", "Detail": '{"id": 7}'}])


def failing_function(account: Tenant) -> tuple[str, str]:
    """A function that reports each run to a queue and fails; its ARN and the queue's URL."""
    url, queue_arn = account.queue("attempts")
    source = f"""
        import boto3

        def handler(event, context):
            boto3.client("sqs").send_message(QueueUrl="{url}", MessageBody=str(event["detail"]["id"]))
            raise ValueError("no")
    """
    return account.function(source, allow("sqs:SendMessage", queue_arn)), url


def runs(account: Tenant, url: str, most: int, seconds: float) -> list[str]:
    """What the first runs report."""
    found: list[str] = []
    while len(found) < most and (message := account.receive(url, seconds=seconds)):
        found.append(message["Body"])
        account.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_a_failed_event_is_tried_three_times(account: Tenant) -> None:
    function, url = failing_function(account)
    account.let_in(function, "events.amazonaws.com", rule_to(account, function))

    order(account)

    assert runs(account, url, most=3, seconds=20) == ["7"] * 3
    assert runs(account, url, most=1, seconds=1) == []


def test_upstream_still_forgets_failed_events(unpatched_account: Tenant) -> None:
    function, url = failing_function(unpatched_account)
    unpatched_account.let_in(function, "events.amazonaws.com", rule_to(unpatched_account, function))

    order(unpatched_account)

    assert runs(unpatched_account, url, most=1, seconds=20) == ["7"]
    assert runs(unpatched_account, url, most=1, seconds=3) == [], "upstream tries again: that part may go"


def another_rule(account: Tenant) -> str:
    return f"arn:aws:events:us-east-1:{account.account_id}:rule/another"


def test_a_function_that_does_not_let_the_rule_in_does_not_run(account: Tenant) -> None:
    function, url = failing_function(account)
    rule_to(account, function)
    account.let_in(function, "events.amazonaws.com", another_rule(account))

    order(account)

    refusal = f"User: events.amazonaws.com is not authorized to perform: lambda:InvokeFunction on resource: {function}"
    assert eventually(lambda: refusal in account.aws.log_text())
    assert account.receive(url, seconds=0) is None


def test_upstream_still_runs_a_function_that_does_not_let_the_rule_in(unpatched_account: Tenant) -> None:
    function, url = failing_function(unpatched_account)
    rule_to(unpatched_account, function)
    unpatched_account.let_in(function, "events.amazonaws.com", another_rule(unpatched_account))

    order(unpatched_account)

    assert unpatched_account.receive(url), "upstream asks the function's policy: that part of event_delivery may go"


def test_an_event_for_a_missing_function_is_dropped_with_a_line_in_the_log(account: Tenant) -> None:
    missing = f"arn:aws:lambda:us-east-1:{account.account_id}:function:missing"
    rule_to(account, missing)

    order(account)

    line = f"EventBridge did not deliver to {missing}: function not found"
    assert eventually(lambda: line in account.aws.log_text())
