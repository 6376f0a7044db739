import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant, call_query_protocol

ALARM = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:errors"
TEXT: dict[str, Any] = {"type": "text", "properties": {"markdown": "Look & see <here>"}}
GRAPH: dict[str, Any] = {"type": "metric", "properties": {"region": "us-east-1", "annotations": {"alarms": [ALARM]}}}
STATUS: dict[str, Any] = {"type": "alarm", "width": 24, "properties": {"alarms": [ALARM]}}


def body(*widgets: Any) -> str:
    return json.dumps({"widgets": widgets})


def test_a_dashboard_is_there_in_each_region_and_comes_back_as_it_was(account: Tenant) -> None:
    whole = body(TEXT, GRAPH, STATUS)
    account.client("cloudwatch", "us-east-1").put_dashboard(DashboardName="payments", DashboardBody=whole)
    elsewhere = account.client("cloudwatch", "us-west-2")
    assert elsewhere.get_dashboard(DashboardName="payments")["DashboardBody"] == whole
    answer = call_query_protocol(account, "monitoring", "GetDashboard", DashboardName="payments")
    assert "Look &amp; see &lt;here&gt;" in answer.body
    elsewhere.delete_dashboards(DashboardNames=["payments"])
    assert account.client("cloudwatch", "us-east-1").list_dashboards()["DashboardEntries"] == []


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("payments.prod", body(TEXT)),
        ("payments", "no JSON"),
        ("payments", "[]"),
        ("payments", body({"type": "picture", "properties": {}})),
        ("payments", body({**TEXT, "width": 25})),
        ("payments", body({"type": "text", "properties": {}})),
        ("payments", body({"type": "metric", "properties": {"region": "us-east-1"}})),
        ("payments", body({"type": "metric", "properties": {"metrics": []}})),
        ("payments", body({"type": "alarm", "properties": {"alarms": ["errors"]}})),
        ("payments", body(*[TEXT] * 501)),
    ],
)
def test_what_cloudwatch_would_not_take_is_refused(
    account: Tenant, unpatched_account: Tenant, name: str, wrong: str
) -> None:
    put = account.client("cloudwatch", "us-east-1").put_dashboard
    with pytest.raises(ClientError, match="InvalidParameterInput"):
        put(DashboardName=name, DashboardBody=wrong)
    unpatched = unpatched_account.client("cloudwatch", "us-east-1")
    assert unpatched.put_dashboard(DashboardName=name, DashboardBody=wrong)["DashboardValidationMessages"] == []


def test_upstream_keeps_dashboards_by_region(unpatched_account: Tenant) -> None:
    unpatched_account.client("cloudwatch", "us-east-1").put_dashboard(DashboardName="here", DashboardBody=body(TEXT))
    entries = unpatched_account.client("cloudwatch", "us-west-2").list_dashboards()["DashboardEntries"]
    assert "here" not in [each["DashboardName"] for each in entries]
