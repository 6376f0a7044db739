"""Whatever API Gateway hands over, the health monitor answers with a verdict, tells no secrets and mails nobody."""

import json
import os
from functools import partial
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers import lambda_health_monitor as monitor

ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "AWS_SECRET_ACCESS_KEY": "c2VjcmV0LWtleQ",
    "DYNAMODB_TABLE_NAME": "table-of-payments",
    "SNS_TOPIC_ARN": "arn:aws:sns:us-east-1:111122223333:sns-alerts-east-dev",
}
DENIED = ClientError(
    {"Error": {"Code": "AccessDeniedException", "Message": "User: arn:aws:sts::111122223333:assumed-role/x"}},
    "DescribeTable",
)
OUTCOMES: list[Any] = [
    {"Table": {"TableStatus": "ACTIVE", "TableArn": "arn:aws:dynamodb:us-east-1:111122223333:table/t"}},
    {"Table": {"TableStatus": "DELETING"}},
    DENIED,
    RuntimeError("c2VjcmV0LWtleQ of 111122223333"),
]

# The deadline has tests of its own. Here a busy machine must not pass for a DynamoDB that hangs.
PATIENT_DESCRIBE = partial(monitor.describe, deadline=60.0)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=8,
)
scheduled = st.fixed_dictionaries({"source": st.just("aws.events"), "detail-type": st.just("Scheduled Event")})
texts = st.dictionaries(st.text(), st.text(), max_size=5)
# What a client chooses in an event of an HTTP API, payload 2.0, is arbitrary, and so is what else there may be:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
requests = st.builds(
    lambda chosen, http, added: {"version": "2.0", **chosen, **added, "requestContext": {"http": http}},
    st.fixed_dictionaries(
        {"rawPath": st.text(), "rawQueryString": st.text(), "headers": texts, "isBase64Encoded": st.booleans()},
        optional={"queryStringParameters": texts, "body": st.text() | (scheduled | json_values).map(json.dumps)},
    ),
    json_values,
    st.just({}) | scheduled | st.dictionaries(st.sampled_from(["headers", "body", "routeKey", "source"]), json_values),
)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["serving", "not serving", "denied", "a defect"])
@settings(max_examples=500, deadline=None, print_blob=True)
@given(event=requests)
def test_a_request_gets_a_verdict_and_nothing_else_happens(outcome: Any, event: dict[str, Any]) -> None:
    dynamodb = mock.Mock()
    dynamodb.meta.endpoint_url = "http://127.0.0.1"
    dynamodb.describe_table.side_effect = [outcome] * 2
    with (
        mock.patch.dict(os.environ, ENVIRONMENT),
        mock.patch.object(monitor, "_dynamodb", return_value=dynamodb),
        mock.patch.object(monitor, "describe", PATIENT_DESCRIBE),
        mock.patch.object(monitor, "_sns") as sns,
    ):
        answer = monitor.handler(event, None)

    assert sns.mock_calls == []
    dynamodb.describe_table.assert_called_with(TableName="table-of-payments")
    body = json.loads(answer["body"])
    assert set(answer) == {"statusCode", "headers", "body"}
    assert set(body) == {"status", "timestamp", "region", "table_status", "reason"}
    assert answer["statusCode"] == (503 if body["status"] == "unhealthy" else 200)
    assert (body["status"] == "unhealthy") == (outcome is OUTCOMES[1])
    told = json.dumps(answer)
    assert [word for word in ["111122223333", "arn:", "Traceback", *ENVIRONMENT.values()] if word in told] == [
        "us-east-1"  # the region is part of the answer
    ]
