"""Targets that faults which hinder no failover make miss: a drill that passed on these stacks would prove too much."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.deployment import Deployment
from embedded_aws.drill import place_of
from payment_dr.operations.drill import parameters, run, verification
from payment_dr.operations.drill.run import Drill
from payment_dr.side import SIDES, Side
from tests.deploy.test_drill import change_health_function

pytestmark = [pytest.mark.xdist_group("drill"), pytest.mark.slow]


@pytest.fixture
def drill(branched: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Runs the default drill, which waits for what does not come for less time than otherwise."""
    monkeypatch.setattr(parameters, "COPIED_SECONDS", 5.0)
    monkeypatch.setattr(verification, "SETTLING_SECONDS", 10.0)
    monkeypatch.setattr(run, "ALARMS_FIRE_SECONDS", 60.0)
    monkeypatch.setattr(run, "ALARMS_CLEAR_SECONDS", 60.0)

    def drilled() -> Any:
        with place_of(branched, 1) as place:
            return Drill(place, "region", seed=1, directory=tmp_path).run().content

    return drilled


def test_targets_are_missed_where_the_parts_behind_them_are_absent(
    drill: Callable[[], Any], branched: Deployment
) -> None:
    change_health_function(branched, "503 if verdict.status == UNHEALTHY else 200", "200")
    for side in SIDES:
        stop_config_sync(branched, side)
    branched.client("s3", "primary").delete_bucket_replication(Bucket=branched.value("primary_bucket_name"))
    cloudwatch = branched.client("cloudwatch", "primary")
    cloudwatch.delete_alarms(AlarmNames=[alarm_of(branched, "primary")["AlarmName"]])
    of_another_check = alarm_of(branched, "secondary") | {"Dimensions": [{"Name": "HealthCheckId", "Value": "gone"}]}
    put_alarm(branched, of_another_check)
    before = parameters_of(branched)

    journal = drill()

    documents = journal["after"]["documents"]["written"]["primary"]
    assert missed_in(journal) == {
        "health functions that do not report a failing table": 1,
        "after recovery: parameters differ": 1,
        "parameter rotated in us-east-1 and not copied to us-west-2": 1,
        "parameter rotated in us-west-2 and not copied to us-east-1": 1,
        f"after recovery: documents of us-east-1 missing in us-west-2, of {documents}": 2,
        "health checks of us-east-1 whose alarm did not fire": 1,
        "after recovery: alarms that have not cleared, of 1 that fired": 1,
    }
    assert (parameters_of(branched), journal["after"]["undone"]) == (before, True)
    assert not any(value in json.dumps(journal) for values in before.values() for value in values.values())


def test_targets_are_missed_where_one_direction_or_the_last_step_is_broken(
    drill: Callable[[], Any], branched: Deployment
) -> None:
    stop_config_sync(branched, "secondary")
    s3, bucket = branched.client("s3", "primary"), branched.value("primary_bucket_name")
    replication = s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]
    replication["Rules"][0]["Status"] = "Disabled"
    s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration=replication)
    topic = branched.value("primary_sns_topic_arn")
    nobody = json.dumps({"Version": "2012-10-17", "Statement": []})
    sns = branched.client("sns", "primary")
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=nobody)

    journal = drill()

    documents = journal["after"]["documents"]["written"]["primary"]
    assert missed_in(journal) == {
        "after recovery: parameters differ": 1,
        "parameter rotated in us-west-2 and not copied to us-east-1": 1,
        f"after recovery: documents of us-east-1 missing in us-west-2, of {documents}": 2,
        "alarms that reached nobody, of 2 that fired": 2,  # the other one lacks data while us-east-1 is down
    }
    (name,) = journal["after"]["alarms"]["expected"]["primary"]
    assert f"{name} reached none of its topics: Failed to execute action {topic}. Received error" in " ".join(
        journal["causes"]
    )


def test_a_payment_of_both_regions_that_somebody_sets_back_to_what_it_was_misses(
    branched: Deployment, tmp_path: Path
) -> None:
    """As a job does that restores the version which it has seen, in place of reconciling both."""
    table, dynamodb = branched.value("dynamodb_table_name"), branched.client("dynamodb", "secondary")
    seen: list[Any] = []

    def interfere(step: str) -> None:
        if step == "recovery":
            east, west = (items_of(branched, side) for side in SIDES)
            seen.append(next(item for key, item in west.items() if east.get(key, item) != item))
        if step == "verification":
            before = int(seen[0]["amount"]["N"])
            key = {name: seen[0][name] for name in ("transaction_id", "timestamp")}
            now = int(dynamodb.get_item(TableName=table, Key=key)["Item"]["amount"]["N"])
            other = before if now != before else before - 1
            dynamodb.put_item(TableName=table, Item={**seen[0], "amount": {"N": str(other)}})

    with place_of(branched, 1) as place:
        journal: Any = Drill(place, "partition", seed=1, directory=tmp_path, tell=interfere).run().content
    conflicts = journal["after"]["split_brain"]["conflicts"]
    assert missed_in(journal) == {f"split brain: payments not as written last, of {len(conflicts)} that conflicted": 1}
    assert journal["causes"] == [f"not in both regions as it was written last: {seen[0]['transaction_id']['S']}"]


def items_of(deployment: Deployment, side: Side) -> dict[tuple[str, str], Any]:
    pages = (
        deployment.client("dynamodb", side)
        .get_paginator("scan")
        .paginate(TableName=deployment.value("dynamodb_table_name"))
    )
    items = [item for page in pages for item in page["Items"]]
    return {(item["transaction_id"]["S"], item["timestamp"]["N"]): item for item in items}


def missed_in(journal: Any) -> dict[str, Any]:
    return {target["what"]: target["measured"] for target in journal["targets"] if not target["met"]}


def stop_config_sync(deployment: Deployment, side: Side) -> None:
    """Disable all rules that run the function of a region."""
    events = deployment.client("events", side)
    names = [rule["Name"] for rule in events.list_rules()["Rules"] if "config-sync" in rule["Name"]]
    assert len(names) == 2
    for name in names:
        events.disable_rule(Name=name)


def parameters_of(deployment: Deployment) -> dict[str, dict[str, str]]:
    names = deployment.value("ssm_parameter_names")
    found = {side: deployment.client("ssm", side).get_parameters(Names=names, WithDecryption=True) for side in SIDES}
    return {side: {each["Name"]: each["Value"] for each in found[side]["Parameters"]} for side in SIDES}


def alarm_of(deployment: Deployment, side: Side) -> dict[str, Any]:
    """The alarm on the health check of a side."""
    check = {"Name": "HealthCheckId", "Value": deployment.value(f"{side}_health_check_id")}
    alarms = deployment.client("cloudwatch", "primary").describe_alarms(AlarmNames=deployment.value("alarm_names"))
    (found,) = (alarm for alarm in alarms["MetricAlarms"] if check in alarm.get("Dimensions", ()))
    return dict(found)


def put_alarm(deployment: Deployment, alarm: dict[str, Any]) -> None:
    given = ("AlarmName", "AlarmActions", "OKActions", "MetricName", "Namespace", "Statistic", "Dimensions", "Period")
    how = ("EvaluationPeriods", "Threshold", "ComparisonOperator", "TreatMissingData")
    deployment.client("cloudwatch", "primary").put_metric_alarm(**{name: alarm[name] for name in (*given, *how)})
