import json
from collections.abc import Iterator

import pytest

from embedded_aws import EmbeddedAws, EmbeddedAwsError
from embedded_aws.checks import eventually
from tests.embedded_aws.tenant import Tenant, allow, get, unique

ANSWERS = """
    def handler(event, context):
        return {"statusCode": 200, "body": "here"}
"""
NOTES = """
    import boto3

    def handler(event, context):
        item = {"id": {"S": event["id"]}}
        boto3.client("dynamodb").put_item(TableName=event["source"], Item=item)
"""


@pytest.fixture
def account(aws: EmbeddedAws) -> Iterator[Tenant]:
    """Of another AWS: its Lambda must not fail in other tests."""
    with aws.branch() as branch:
        yield Tenant(branch, branch.account_id)


def test_an_api_answers_503_while_lambda_fails_in_its_region(account: Tenant) -> None:
    name = unique("answers")
    account.function(ANSWERS, name=name)
    api_id = account.http_api(name, name)
    source = f"arn:aws:execute-api:us-east-1:{account.account_id}:{api_id}/*/*"
    account.let_in(name, "apigateway.amazonaws.com", source)
    url = account.aws.execute_api_url(api_id, "/health")

    assert get(url).status == 200
    with account.aws.region_outage("us-west-2", service="lambda"):
        assert get(url).status == 200
    with account.aws.region_outage("us-east-1", service="lambda", spared=["Invoke"]):
        assert get(url).status == 200  # it is the control plane that fails
    with account.aws.region_outage("us-east-1", service="lambda"):
        answer = get(url)
        assert (answer.status, json.loads(answer.body)) == (503, {"message": "Service Unavailable"})
    assert get(url).status == 200


def test_an_event_reaches_its_function_when_lambda_is_back(account: Tenant) -> None:
    name = unique("notes")
    dynamodb, events = account.client("dynamodb", "us-east-1"), account.client("events", "us-east-1")
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    function = account.function(NOTES, allow("dynamodb:PutItem", "*"), name=name)
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "it", "Arn": function}])
    account.let_in(name, "events.amazonaws.com", rule)

    def seen() -> list[str]:
        return [item["id"]["S"] for item in dynamodb.scan(TableName=name)["Items"]]

    with account.aws.region_outage("us-east-1", service="lambda"):
        events.put_events(Entries=[{"Source": name, "DetailType": "it", "Detail": "{}"}])
        assert seen() == []
    eventually(lambda: len(seen()) == 1, "the event")


def test_upstream_still_runs_functions_while_lambda_fails(unpatched_aws: EmbeddedAws) -> None:
    with pytest.raises(EmbeddedAwsError, match="rejected PUT /_fault"):  # if it does: function_outage may go
        unpatched_aws.fail_region("us-east-1", service="lambda")
