"""The outputs: names are a contract."""

import re
from collections.abc import Callable
from pathlib import Path

from payment_dr import App
from payment_dr.side import Side
from tests.constructs.documents import Json
from tests.constructs.test_stack import synthesized

OF_THE_BRIEF = {
    *(f"{side}_vpc_id" for side in ("primary", "secondary")),
    *(f"{side}_vpc_cidr" for side in ("primary", "secondary")),
    *(f"{side}_private_subnet_ids" for side in ("primary", "secondary")),
    "dynamodb_table_name",
    "dynamodb_table_arn",
    "dynamodb_stream_arn",
    *(f"{side}_bucket_{what}" for side in ("primary", "secondary") for what in ("name", "arn")),
    "s3_replication_role_arn",
    *(
        f"{side}_{purpose}_function_{what}"
        for side in ("primary", "secondary")
        for purpose in ("health_monitor", "config_sync")
        for what in ("name", "arn")
    ),
    "lambda_execution_role_arn",
    *(f"{side}_api_{what}" for side in ("primary", "secondary") for what in ("endpoint", "id")),
    "hosted_zone_id",
    "hosted_zone_name",
    *(f"{side}_health_check_id" for side in ("primary", "secondary")),
    "application_fqdn",
    "alarm_names",
    *(f"{side}_sns_topic_arn" for side in ("primary", "secondary")),
    *(f"{side}_kms_key_{what}" for side in ("primary", "secondary") for what in ("id", "arn")),
    "ssm_parameter_names",
    "cross_region_role_arn",
}


def test_the_forty_one_outputs_of_the_brief_are_there(stack_json: Json) -> None:
    assert len(OF_THE_BRIEF) == 41  # the brief's own sum
    assert set(stack_json["output"]) >= OF_THE_BRIEF


def of_a_region(side: Side, label: str, bucket: str) -> Json:
    """What the outputs of one region must read."""
    reads = {
        "vpc_id": f"aws_vpc.network_{label}_vpc.id",
        "vpc_cidr": f"aws_vpc.network_{label}_vpc.cidr_block",
        "bucket_name": f"aws_s3_bucket.data_{bucket}_bucket.bucket",
        "bucket_arn": f"aws_s3_bucket.data_{bucket}_bucket.arn",
        "health_monitor_function_name": f"aws_lambda_function.health_monitor_{label}_function.function_name",
        "health_monitor_function_arn": f"aws_lambda_function.health_monitor_{label}_function.arn",
        "config_sync_function_name": f"aws_lambda_function.config_sync_{label}_function.function_name",
        "config_sync_function_arn": f"aws_lambda_function.config_sync_{label}_function.arn",
        "api_endpoint": f"aws_apigatewayv2_api.health_monitor_{label}_api.api_endpoint",
        "api_id": f"aws_apigatewayv2_api.health_monitor_{label}_api.id",
        "health_check_id": f"aws_route53_health_check.dns_{side}_health_check.id",
        "sns_topic_arn": f"aws_sns_topic.alerting_{label}_topic.arn",
        "kms_key_id": f"aws_kms_key.encryption_{label}_key.key_id",
        "kms_key_arn": f"aws_kms_key.encryption_{label}_key.arn",
    }
    return {f"{side}_{what}": f"${{{read}}}" for what, read in reads.items()} | {
        f"{side}_private_subnet_ids": [
            f"${{aws_subnet.network_{label}_private_subnet_{number}.id}}" for number in (1, 2)
        ]
    }


def test_every_output_of_the_brief_reads_the_resource_that_it_names(stack_json: Json) -> None:
    expected = {
        **of_a_region("primary", "east", "source"),
        **of_a_region("secondary", "west", "destination"),
        "dynamodb_table_name": "${aws_dynamodb_table.data_table.name}",
        "dynamodb_table_arn": "${aws_dynamodb_table.data_table.arn}",
        "dynamodb_stream_arn": "${aws_dynamodb_table.data_table.stream_arn}",
        "s3_replication_role_arn": "${aws_iam_role.data_s3_replication_role.arn}",
        "lambda_execution_role_arn": "${aws_iam_role.health_monitor_east_function_role.arn}",
        "hosted_zone_id": "${aws_route53_zone.dns_zone.zone_id}",
        "hosted_zone_name": "${aws_route53_zone.dns_zone.name}",
        "application_fqdn": "${aws_route53_record.dns_primary_record.fqdn}",
        "ssm_parameter_names": [
            f"${{aws_ssm_parameter.config_sync_parameter_{key}_east.name}}"
            for key in ("database_connection_string", "api_key")
        ],
        "cross_region_role_arn": "${aws_iam_role.config_sync_east_to_west_role.arn}",
    }
    assert set(expected) == OF_THE_BRIEF - {"alarm_names"}  # which has a test of its own
    assert {name: stack_json["output"][name]["value"] for name in expected} == expected


def test_the_outputs_beyond_the_brief_are_these(stack_json: Json) -> None:
    assert set(stack_json["output"]) - OF_THE_BRIEF == {
        "environment",
        "primary_region",
        "secondary_region",
        "rto_target_seconds",
        "dynamodb_replica_arn",
        "lambda_execution_role_arns",
        "cross_region_role_arns",
        "primary_health_url",
        "secondary_health_url",
        "hosted_zone_name_servers",
        "ssm_parameter_values",
    }


def test_two_way_documents_add_the_role_of_the_way_back(stack_json: Json, new_app: Callable[[], App]) -> None:
    outputs = synthesized(new_app, two_way_documents=True)["output"]
    assert outputs.keys() - stack_json["output"].keys() == {"s3_replication_back_role_arn"}
    assert outputs["s3_replication_back_role_arn"]["value"] == "${aws_iam_role.data_s3_replication_back_role.arn}"


def test_every_output_has_a_description_and_only_secrets_are_sensitive(stack_json: Json) -> None:
    assert [name for name, output in stack_json["output"].items() if not output.get("description")] == []
    assert [name for name, output in stack_json["output"].items() if output.get("sensitive")] == [
        "ssm_parameter_values"
    ]


def test_alarm_names_names_every_alarm(stack_json: Json) -> None:
    assert set(stack_json["output"]["alarm_names"]["value"]) == {
        f"${{aws_cloudwatch_metric_alarm.{name}.alarm_name}}"
        for name in stack_json["resource"]["aws_cloudwatch_metric_alarm"]
    }


def test_lists_are_lists(stack_json: Json) -> None:
    for name in ("primary_private_subnet_ids", "secondary_private_subnet_ids", "alarm_names", "ssm_parameter_names"):
        assert isinstance(stack_json["output"][name]["value"], list)


def test_the_target_is_a_number_and_that_of_the_stack(stack_json: Json, new_app: Callable[[], App]) -> None:
    assert stack_json["output"]["rto_target_seconds"]["value"] == 180
    assert synthesized(new_app, rto_target_seconds=240)["output"]["rto_target_seconds"]["value"] == 240


def test_the_readme_counts_them(stack_json: Json) -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(\d+) outputs", readme)) == {str(len(stack_json["output"]))}
