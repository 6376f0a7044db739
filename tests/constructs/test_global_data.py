"""GlobalData: one replicated table, one pair of replicated buckets, and alarms on metrics that exist."""

import json
from collections.abc import Callable

import pytest

from payment_dr import (
    AlarmTarget,
    App,
    ConfigurationError,
    DisasterRecoveryStack,
    GlobalData,
    Region,
    TerraformStack,
)
from payment_dr.bindings import DynamodbTable
from payment_dr.bindings import Testing as CdktfTesting
from payment_dr.operations.probes import DOCUMENTS_RULE
from tests.constructs.documents import Json, resource

Synthesize = Callable[[Callable[[TerraformStack], object]], Json]


def test_the_table_is_one_resource_with_a_replica(stack_text: str, stack_json: Json) -> None:
    assert list(stack_json["resource"]["aws_dynamodb_table"]) == ["data_table"]
    assert "aws_dynamodb_table_replica" not in stack_json["resource"]
    assert CdktfTesting.to_have_resource_with_properties(
        stack_text,
        DynamodbTable.TF_RESOURCE_TYPE,
        {
            "name": "transactions",
            "billing_mode": "PAY_PER_REQUEST",
            "hash_key": "transaction_id",
            "range_key": "timestamp",
            "attribute": [{"name": "transaction_id", "type": "S"}, {"name": "timestamp", "type": "N"}],
            "stream_enabled": True,
            "stream_view_type": "NEW_AND_OLD_IMAGES",
            "point_in_time_recovery": {"enabled": True},
            "deletion_protection_enabled": False,
        },
    )
    assert resource(stack_json, "aws_dynamodb_table", "data_table")["replica"] == [
        {
            "region_name": "${data.aws_region.current_secondary.name}",
            "point_in_time_recovery": True,
            "propagate_tags": True,
        }
    ]


@pytest.mark.parametrize(("bucket", "side"), [("source", "east"), ("destination", "west")])
def test_each_bucket_is_versioned_encrypted_private_and_deletable(stack_json: Json, bucket: str, side: str) -> None:
    id_ = f"${{aws_s3_bucket.data_{bucket}_bucket.id}}"
    body = resource(stack_json, "aws_s3_bucket", f"data_{bucket}_bucket")
    assert body["force_destroy"] is True
    assert body["bucket"].startswith(f"s3-payment-docs-{side}-")
    assert body["tags"] == {"Name": f"s3-payment-docs-{side}-${{var.environment}}"}
    assert resource(stack_json, "aws_s3_bucket_versioning", f"data_{bucket}_versioning")[
        "versioning_configuration"
    ] == {"status": "Enabled"}
    encryption = resource(stack_json, "aws_s3_bucket_server_side_encryption_configuration", f"data_{bucket}_encryption")
    assert encryption["bucket"] == id_
    # AES256 is the encryption with keys that S3 manages
    assert encryption["rule"] == [{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}]
    block = resource(stack_json, "aws_s3_bucket_public_access_block", f"data_{bucket}_public_access_block")
    assert block["bucket"] == id_
    assert {key: block[key] for key in block if key.startswith(("block", "ignore", "restrict"))} == {
        "block_public_acls": True,
        "block_public_policy": True,
        "ignore_public_acls": True,
        "restrict_public_buckets": True,
    }


@pytest.mark.parametrize(("bucket", "provider"), [("source", None), ("destination", "aws.secondary")])
def test_the_settings_of_a_bucket_are_on_that_bucket_in_its_region(
    stack_json: Json, bucket: str, provider: str | None
) -> None:
    assert resource(stack_json, "aws_s3_bucket", f"data_{bucket}_bucket").get("provider") == provider
    for type_, name in {
        "aws_s3_bucket_versioning": "versioning",
        "aws_s3_bucket_server_side_encryption_configuration": "encryption",
        "aws_s3_bucket_public_access_block": "public_access_block",
        "aws_s3_bucket_policy": "policy",
    }.items():
        setting = resource(stack_json, type_, f"data_{bucket}_{name}")
        assert (setting["bucket"], setting.get("provider")) == (f"${{aws_s3_bucket.data_{bucket}_bucket.id}}", provider)


def test_every_object_is_replicated_once_both_buckets_are_versioned(stack_json: Json) -> None:
    replication = resource(stack_json, "aws_s3_bucket_replication_configuration", "data_replication")
    assert replication["bucket"] == "${aws_s3_bucket.data_source_bucket.id}"
    assert replication["role"] == "${aws_iam_role.data_s3_replication_role.arn}"
    assert replication["rule"] == [
        {
            "id": "all-documents",
            "status": "Enabled",
            "priority": 1,
            "filter": {"prefix": ""},
            "delete_marker_replication": {"status": "Disabled"},
            "destination": {
                "bucket": "${aws_s3_bucket.data_destination_bucket.arn}",
                "storage_class": "STANDARD",
                "metrics": {"status": "Enabled"},
            },
        }
    ]
    assert {
        "aws_s3_bucket_versioning.data_source_versioning",
        "aws_s3_bucket_versioning.data_destination_versioning",
    } <= set(replication["depends_on"])


# Which dimensions each metric is published with; an alarm with any other set never sees data.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
PUBLISHED_WITH = {
    "UserErrors": set(),
    "SystemErrors": {"TableName", "Operation"},
    "ReadThrottleEvents": {"TableName"},
    "WriteThrottleEvents": {"TableName"},
    "ReplicationLatency": {"TableName", "ReceivingRegion"},
}


@pytest.mark.parametrize("side", ["east", "west"])
def test_alarms_watch_dynamodb_with_dimensions_that_exist(stack_json: Json, side: str) -> None:
    alarms = {
        name: body
        for name, body in stack_json["resource"]["aws_cloudwatch_metric_alarm"].items()
        if name.startswith("data_") and f"_{side}_" in name and "_documents_" not in name
    }
    seen: dict[str, set[str]] = {}
    for body in alarms.values():
        metrics = [query["metric"] for query in body.get("metric_query", []) if "metric" in query] or [body]
        for metric in metrics:
            assert metric["namespace"] == "AWS/DynamoDB"
            assert metric.get("dimensions", {}).get("TableName", "transactions") == "transactions"
            seen[metric["metric_name"]] = set(metric.get("dimensions", {}))
    assert seen == PUBLISHED_WITH


def test_errors_alarm_at_more_than_three_in_five_minutes(stack_json: Json) -> None:
    for what in ("user_errors", "read_throttles", "write_throttles"):
        alarm = resource(stack_json, "aws_cloudwatch_metric_alarm", f"data_{what}_east_alarm")
        assert {key: alarm[key] for key in ("comparison_operator", "threshold", "period", "statistic")} == {
            "comparison_operator": "GreaterThanThreshold",
            "threshold": 3,
            "period": 300,
            "statistic": "Sum",
        }


def test_system_errors_of_all_operations_are_summed(stack_json: Json) -> None:
    alarm = resource(stack_json, "aws_cloudwatch_metric_alarm", "data_system_errors_west_alarm")
    total, *parts = alarm["metric_query"]
    assert total["expression"] == f"SUM([{', '.join(part['id'] for part in parts)}])"
    assert total["return_data"] is True
    assert [part["metric"]["dimensions"]["Operation"] for part in parts] == [
        *("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query"),
        *("BatchGetItem", "BatchWriteItem", "TransactGetItems", "TransactWriteItems"),
    ]
    assert {(part["metric"]["stat"], part["metric"]["period"]) for part in parts} == {("Sum", 300)}
    assert (alarm["threshold"], alarm["comparison_operator"]) == (3, "GreaterThanThreshold")


@pytest.mark.parametrize(("side", "receiving"), [("east", "us-west-2"), ("west", "us-east-1")])
def test_replication_lag_is_watched_in_both_directions(stack_json: Json, side: str, receiving: str) -> None:
    alarm = resource(stack_json, "aws_cloudwatch_metric_alarm", f"data_replication_latency_{side}_alarm")
    assert alarm["dimensions"] == {"TableName": "transactions", "ReceivingRegion": receiving}
    assert (alarm["statistic"], alarm["period"], alarm["threshold"], alarm["evaluation_periods"]) == (
        "Average",
        60,
        3000,
        3,
    )


# In which region S3 publishes a replication metric, and whether also while nothing is replicated:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/repl-metrics.html
@pytest.mark.parametrize(
    ("alarm", "metric", "statistic", "provider", "silence"),
    [
        ("failed_east", "OperationsFailedReplication", "Sum", None, "notBreaching"),
        ("pending_west", "OperationsPendingReplication", "Maximum", "aws.secondary", "breaching"),
    ],
)
def test_replication_of_documents_is_watched_where_s3_publishes_its_metrics(
    stack_json: Json, alarm: str, metric: str, statistic: str, provider: str | None, silence: str
) -> None:
    body = resource(stack_json, "aws_cloudwatch_metric_alarm", f"data_documents_{alarm}_alarm")
    assert (body["namespace"], body["metric_name"], body["statistic"]) == ("AWS/S3", metric, statistic)
    assert body["dimensions"] == {
        "SourceBucket": "${aws_s3_bucket.data_source_bucket.bucket}",
        "DestinationBucket": "${aws_s3_bucket.data_destination_bucket.bucket}",
        "RuleId": "all-documents",
    }
    assert (body.get("provider"), body["treat_missing_data"]) == (provider, silence)


def test_dr_status_reads_the_metrics_of_the_rule(stack_json: Json) -> None:
    replication = resource(stack_json, "aws_s3_bucket_replication_configuration", "data_replication")
    assert [rule["id"] for rule in replication["rule"]] == [DOCUMENTS_RULE]


def test_one_failed_document_fires_an_alarm_and_a_few_waiting_ones_do_not(stack_json: Json) -> None:
    failed, pending = (
        resource(stack_json, "aws_cloudwatch_metric_alarm", f"data_documents_{name}_alarm")
        for name in ("failed_east", "pending_west")
    )
    assert (failed["threshold"], failed["evaluation_periods"], failed["period"]) == (0, 1, 300)
    assert (pending["threshold"], pending["evaluation_periods"], pending["period"]) == (100, 3, 300)


@pytest.fixture(scope="module")
def two_way(new_app: Callable[[], App]) -> Json:
    """The stack with documents that replicate both ways."""
    stack = DisasterRecoveryStack(new_app(), "payment-dr", two_way_documents=True)
    parsed: Json = json.loads(CdktfTesting.synth(stack))
    return parsed


class TestTwoWayDocuments:
    def test_each_bucket_replicates_to_the_other_with_changes_of_replicas(self, two_way: Json) -> None:
        rules = {
            body["bucket"]: (body["role"], body.get("provider"), *body["rule"])
            for body in two_way["resource"]["aws_s3_bucket_replication_configuration"].values()
        }
        ids = {side: f"${{aws_s3_bucket.data_{side}_bucket.id}}" for side in ("source", "destination")}
        assert set(rules) == set(ids.values())
        for home, receiving, back, provider in (
            ("source", "destination", "", None),
            ("destination", "source", "_back", "aws.secondary"),
        ):
            role, where, rule = rules[ids[home]]
            assert role == f"${{aws_iam_role.data_s3_replication{back}_role.arn}}"
            assert where == provider
            assert rule["destination"]["bucket"] == f"${{aws_s3_bucket.data_{receiving}_bucket.arn}}"
            assert rule["source_selection_criteria"] == {"replica_modifications": {"status": "Enabled"}}
            assert rule["delete_marker_replication"] == {"status": "Disabled"}
            assert rule["destination"]["metrics"] == {"status": "Enabled"}

    def test_the_way_back_has_a_role_of_its_own_with_the_same_rights_the_other_way_round(self, two_way: Json) -> None:
        documents = two_way["data"]["aws_iam_policy_document"]
        there, back = (documents[f"data_s3_replication{way}_permissions"]["statement"] for way in ("", "_back"))
        swapped = json.dumps(there).replace("_source_", "_?_").replace("_destination_", "_source_")
        assert json.loads(swapped.replace("_?_", "_destination_")) == back
        names = {role["name"] for role in two_way["resource"]["aws_iam_role"].values()}
        replicating = {f"iam-role-payment-docs-replication-{side}-${{var.environment}}" for side in ("east", "west")}
        assert replicating <= names

    def test_both_ways_are_watched(self, two_way: Json) -> None:
        watched = {
            (alarm["metric_name"], alarm["dimensions"]["SourceBucket"].split("_")[3], alarm.get("provider"))
            for alarm in two_way["resource"]["aws_cloudwatch_metric_alarm"].values()
            if alarm.get("namespace") == "AWS/S3"
        }
        assert watched == {
            ("OperationsFailedReplication", "source", None),
            ("OperationsPendingReplication", "source", "aws.secondary"),
            ("OperationsFailedReplication", "destination", "aws.secondary"),
            ("OperationsPendingReplication", "destination", None),
        }


def test_without_the_option_documents_go_one_way(stack_json: Json) -> None:
    (replication,) = stack_json["resource"]["aws_s3_bucket_replication_configuration"].values()
    assert "source_selection_criteria" not in replication["rule"][0]


def test_it_works_alone_with_its_defaults_and_then_has_no_alarm(
    synthesize: Synthesize, pair: tuple[Region, Region]
) -> None:
    stack = synthesize(lambda scope: GlobalData(scope, "data", primary=pair[0], secondary=pair[1], environment="prod"))
    assert "aws_cloudwatch_metric_alarm" not in stack["resource"]
    (table,) = stack["resource"]["aws_dynamodb_table"].values()
    assert table["name"] == "transactions"


def test_the_primary_region_can_have_a_provider_of_its_own(synthesize: Synthesize, pair: tuple[Region, Region]) -> None:
    other, own = pair
    stack = synthesize(lambda scope: GlobalData(scope, "data", primary=own, secondary=other, environment="prod"))
    found = {
        f"{type_}.{name}": body.get("provider")
        for type_, named in stack["resource"].items()
        for name, body in named.items()
        if not type_.startswith("aws_iam_")
    }
    assert any(address.startswith("aws_dynamodb_table.") for address in found)
    assert found == {address: None if "destination" in address else "aws.second" for address in found}


def test_everything_can_be_set(synthesize: Synthesize, pair: tuple[Region, Region]) -> None:
    stack = synthesize(
        lambda scope: GlobalData(
            scope,
            "data",
            primary=pair[0],
            secondary=pair[1],
            environment="prod",
            table_name="orders",
            bucket_purpose="order-docs",
            primary_alarms=AlarmTarget(
                topic_arn="arn:aws:sns:eu-west-1:123456789012:t", runbook="https://wiki/runbook"
            ),
            replication_lag_alarm_ms=500,
            deletion_protection=True,
            force_destroy=False,
            operations=["GetItem", "Query"],
        )
    )
    (table,) = stack["resource"]["aws_dynamodb_table"].values()
    assert (table["name"], table["deletion_protection_enabled"]) == ("orders", True)
    assert {bucket["force_destroy"] for bucket in stack["resource"]["aws_s3_bucket"].values()} == {False}
    alarms = {alarm["alarm_name"]: alarm for alarm in stack["resource"]["aws_cloudwatch_metric_alarm"].values()}
    assert alarms["alarm-orders-replication-latency-west-prod"]["threshold"] == 500
    system_errors = alarms["alarm-orders-system-errors-west-prod"]
    assert [q["metric"]["dimensions"]["Operation"] for q in system_errors["metric_query"][1:]] == ["GetItem", "Query"]
    assert system_errors["alarm_description"].endswith("Runbook: https://wiki/runbook#dynamodb-system-errors")
    assert not [name for name in alarms if "central" in name]


def test_one_region_twice_and_too_many_operations_fail_in_one_error(
    their_stack: TerraformStack, pair: tuple[Region, Region]
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        GlobalData(
            their_stack,
            "data",
            primary=pair[0],
            secondary=pair[0],
            environment="dev",
            operations=[f"Operation{n}" for n in range(11)],
        )
    too_many, same = raised.value.mistakes
    assert too_many.startswith("operations=['Operation0', 'Operation1', ")
    assert "is not 1 to 10 entries, each 'GetItem', 'PutItem'" in too_many
    assert same == "secondary region 'eu-west-1' is the primary region too, so one outage affects both; choose another"
