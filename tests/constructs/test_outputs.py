"""The outputs: names are a contract."""

from tests.constructs.documents import Json

OF_THE_BRIEF = {
    *(f"{role}_vpc_id" for role in ("primary", "secondary")),
    *(f"{role}_vpc_cidr" for role in ("primary", "secondary")),
    *(f"{role}_private_subnet_ids" for role in ("primary", "secondary")),
    "dynamodb_table_name",
    "dynamodb_table_arn",
    "dynamodb_stream_arn",
    *(f"{role}_bucket_{what}" for role in ("primary", "secondary") for what in ("name", "arn")),
    "s3_replication_role_arn",
    *(
        f"{role}_{purpose}_function_{what}"
        for role in ("primary", "secondary")
        for purpose in ("health_monitor", "config_sync")
        for what in ("name", "arn")
    ),
    "lambda_execution_role_arn",
    *(f"{role}_api_{what}" for role in ("primary", "secondary") for what in ("endpoint", "id")),
    "hosted_zone_id",
    "hosted_zone_name",
    *(f"{role}_health_check_id" for role in ("primary", "secondary")),
    "application_fqdn",
    "alarm_names",
    *(f"{role}_sns_topic_arn" for role in ("primary", "secondary")),
    *(f"{role}_kms_key_{what}" for role in ("primary", "secondary") for what in ("id", "arn")),
    "ssm_parameter_names",
    "cross_region_role_arn",
}


def test_the_forty_one_outputs_of_the_brief_are_there(stack_json: Json) -> None:
    assert len(OF_THE_BRIEF) == 41  # the brief's own sum
    assert set(stack_json["output"]) >= OF_THE_BRIEF


def test_the_outputs_beyond_the_brief_are_these(stack_json: Json) -> None:
    assert set(stack_json["output"]) - OF_THE_BRIEF == {
        "environment",
        "primary_region",
        "secondary_region",
        "dynamodb_replica_arn",
        "lambda_execution_role_arns",
        "cross_region_role_arns",
        "primary_health_url",
        "secondary_health_url",
        "hosted_zone_name_servers",
        "ssm_parameter_values",
        "config_sync_dead_letter_queue_urls",
    }


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
