"""Who may do what, on which ARN, under which condition: every policy document of the stack, word for word."""

import pytest

from payment_dr import ConfigurationError, Role, Statement, TerraformStack
from tests.constructs.documents import Json, allow, statements

ACCOUNT = "${data.aws_caller_identity.current.account_id}"
REGION = {"east": "${data.aws_region.current.name}", "west": "${data.aws_region.current_secondary.name}"}
TABLE = {
    "east": "${aws_dynamodb_table.data_table.arn}",
    "west": f"arn:aws:dynamodb:{REGION['west']}:{ACCOUNT}:table/transactions",
}
KEYS = ["database-connection-string", "api-key"]
OTHER = {"east": "west", "west": "east"}
SIDES = ["east", "west"]
FROM_ACCOUNT = {"StringEquals aws:SourceAccount": [ACCOUNT]}
ROOT = {"AWS": [f"arn:aws:iam::{ACCOUNT}:root"]}


def key_arn(side: str) -> str:
    return f"${{aws_kms_key.encryption_{side}_key.arn}}"


def topic_arn(side: str) -> str:
    return f"${{aws_sns_topic.alerting_{side}_topic.arn}}"


def arn(service: str, side: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION[side]}:{ACCOUNT}:{resource}"


def named(kind: str, purpose: str, side: str) -> str:
    return f"{kind}-{purpose}-{side}-${{var.environment}}"


def function_arn(purpose: str, side: str) -> str:
    return arn("lambda", side, f"function:{named('lambda', purpose, side)}")


def parameter_arns(side: str) -> list[str]:
    return sorted(arn("ssm", side, f"parameter/payment-app/${{var.environment}}/{key}") for key in KEYS)


def through(service: str, side: str) -> dict[str, list[str]]:
    return {"StringEquals kms:ViaService": [f"{service}.{REGION[side]}.amazonaws.com"]}


def for_parameters(side: str) -> dict[str, list[str]]:
    return through("ssm", side) | {"StringEquals kms:EncryptionContext:PARAMETER_ARN": parameter_arns(side)}


def own_log(purpose: str, side: str) -> Json:
    group = f"log-group:/aws/lambda/{named('lambda', purpose, side)}:*"
    return allow("WriteOwnLog", ["logs:CreateLogStream", "logs:PutLogEvents"], [arn("logs", side, group)])


def function_trust(purpose: str, side: str) -> list[Json]:
    return [
        allow(
            "AssumedByItsFunction",
            ["sts:AssumeRole"],
            principals={"Service": ["lambda.amazonaws.com"]},
            conditions=FROM_ACCOUNT | {"ArnEquals aws:SourceArn": [function_arn(purpose, side)]},
        )
    ]


READ = ["ssm:GetParameter", "ssm:GetParameterHistory"]


def from_alarms(side: str) -> dict[str, list[str]]:
    return FROM_ACCOUNT | {"ArnLike aws:SourceArn": [arn("cloudwatch", side, "alarm:*")]}


def target_role_arn(side: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{named('iam-role', 'config-sync-target', side)}"


def expected() -> dict[str, list[Json]]:
    documents: dict[str, list[Json]] = {}
    for side in SIDES:
        other = OTHER[side]
        documents |= {
            f"health_monitor_{side}_function_role_trust": function_trust("health-monitor", side),
            f"health_monitor_{side}_function_role_permissions": [
                own_log("health-monitor", side),
                allow("DescribeTable", ["dynamodb:DescribeTable"], [TABLE[side]]),
                allow("PublishAlerts", ["sns:Publish"], [topic_arn(side)]),
                allow(
                    "EncryptAlerts",
                    ["kms:Decrypt", "kms:GenerateDataKey"],
                    [key_arn(side)],
                    conditions=through("sns", side),
                ),
            ],
            f"config_sync_{side}_role_trust": function_trust("config-sync", side),
            f"config_sync_{side}_role_permissions": [
                own_log("config-sync", side),
                allow("ReadParameters", READ, parameter_arns(side)),
                allow("ReadParametersWithKey", ["kms:Decrypt"], [key_arn(side)], conditions=for_parameters(side)),
                allow(
                    "WriteToOtherRegion",
                    ["sts:AssumeRole"],
                    [target_role_arn(other)],
                    conditions={"ArnEquals lambda:SourceFunctionArn": [function_arn("config-sync", side)]},
                ),
            ],
            f"config_sync_{side}_to_{other}_trust": [
                allow(
                    "AssumedByConfigSync",
                    ["sts:AssumeRole"],
                    principals=ROOT,
                    conditions={"ArnEquals aws:PrincipalArn": [f"${{aws_iam_role.config_sync_{side}_role.arn}}"]},
                )
            ],
            f"config_sync_{side}_to_{other}_permissions": [
                allow("WriteParameters", [*READ, "ssm:PutParameter"], parameter_arns(other)),
                allow(
                    "WriteParametersWithKey",
                    ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"],
                    [key_arn(other)],
                    conditions=for_parameters(other),
                ),
            ],
            f"encryption_{side}_key_policy": [
                allow("AccountHasFullControl", ["kms:*"], ["*"], ROOT),
                allow(
                    "SnsDeliversAlerts",
                    ["kms:Decrypt", "kms:GenerateDataKey*"],
                    ["*"],
                    {"Service": ["sns.amazonaws.com"]},
                    FROM_ACCOUNT,
                ),
                allow(
                    "AlarmsPublishToEncryptedTopic",
                    ["kms:Decrypt", "kms:GenerateDataKey*"],
                    ["*"],
                    {"Service": ["cloudwatch.amazonaws.com"]},
                    from_alarms(side),
                ),
                allow(
                    "ParameterStoreEncryptsAndDecrypts",
                    ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*"],
                    ["*"],
                    ROOT,
                    through("ssm", side) | {"StringEquals kms:CallerAccount": [ACCOUNT]},
                ),
            ],
            f"alerting_{side}_topic_policy_document": [
                allow(
                    "AlarmsPublish",
                    ["sns:Publish"],
                    [topic_arn(side)],
                    {"Service": ["cloudwatch.amazonaws.com"]},
                    from_alarms(side),
                ),
            ],
        }
    source, destination = "${aws_s3_bucket.data_source_bucket.arn}", "${aws_s3_bucket.data_destination_bucket.arn}"
    for name, bucket in (("source", source), ("destination", destination)):
        tls_only = allow(
            "TlsOnly", ["s3:*"], [bucket, f"{bucket}/*"], {"*": ["*"]}, {"Bool aws:SecureTransport": ["false"]}
        )
        documents[f"data_{name}_policy_document"] = [tls_only | {"effect": "Deny"}]
    return documents | {
        "data_s3_replication_trust": [
            allow("AssumedByS3", ["sts:AssumeRole"], principals={"Service": ["s3.amazonaws.com"]})
        ],
        "data_s3_replication_permissions": [
            allow("ReadReplicationSettings", ["s3:GetReplicationConfiguration", "s3:ListBucket"], [source]),
            allow(
                "ReadSourceVersions",
                ["s3:GetObjectVersionAcl", "s3:GetObjectVersionForReplication", "s3:GetObjectVersionTagging"],
                [f"{source}/*"],
            ),
            allow("WriteReplicas", ["s3:ReplicateObject"], [f"{destination}/*"]),
        ],
    }


EXPECTED = expected()


@pytest.mark.parametrize("document", sorted(EXPECTED))
def test_a_policy_says_exactly_what_is_expected(stack_json: Json, document: str) -> None:
    assert statements(stack_json, document) == EXPECTED[document]


def test_no_policy_is_without_an_expectation(stack_json: Json) -> None:
    assert set(stack_json["data"]["aws_iam_policy_document"]) == set(EXPECTED)


def test_every_policy_in_use_is_an_iam_policy_document(stack_json: Json) -> None:
    in_use = {
        **{
            f"aws_iam_role.{name}": role["assume_role_policy"]
            for name, role in stack_json["resource"]["aws_iam_role"].items()
        },
        **{
            f"{type_}.{name}": resource["policy"]
            for type_ in ("aws_iam_policy", "aws_kms_key", "aws_s3_bucket_policy", "aws_sns_topic_policy")
            for name, resource in stack_json["resource"][type_].items()
        },
    }
    documents = {f"${{data.aws_iam_policy_document.{name}.json}}" for name in EXPECTED}
    assert {address: policy for address, policy in in_use.items() if policy not in documents} == {}
    assert documents == set(in_use.values())
    # Policies must not hide elsewhere: inline, or managed by AWS.
    assert not [type_ for type_ in stack_json["resource"] if type_ in {"aws_iam_role_policy", "aws_iam_user_policy"}]
    for attachment in stack_json["resource"]["aws_iam_role_policy_attachment"].values():
        assert attachment["policy_arn"].startswith("${aws_iam_policy.")


def test_every_role_key_and_topic_has_its_own_policy(stack_json: Json) -> None:
    """A document can say the right thing and still be on the wrong resource."""
    resources = stack_json["resource"]

    def document(name: str) -> str:
        return f"${{data.aws_iam_policy_document.{name}.json}}"

    for name, role in resources["aws_iam_role"].items():
        stem = name if f"{name}_trust" in EXPECTED else name.removesuffix("_role")
        attachment = f"{stem}_attachment"
        assert role["assume_role_policy"] == document(f"{stem}_trust"), name
        assert resources["aws_iam_policy"][f"{stem}_policy"]["policy"] == document(f"{stem}_permissions"), name
        assert {
            key: resources["aws_iam_role_policy_attachment"][attachment][key] for key in ("role", "policy_arn")
        } == {
            "role": f"${{aws_iam_role.{name}.name}}",
            "policy_arn": f"${{aws_iam_policy.{stem}_policy.arn}}",
        }
    assert len(resources["aws_iam_role_policy_attachment"]) == len(resources["aws_iam_role"])
    for side in SIDES:
        assert resources["aws_kms_key"][f"encryption_{side}_key"]["policy"] == document(f"encryption_{side}_key_policy")
        topic_policy = resources["aws_sns_topic_policy"][f"alerting_{side}_topic_policy"]
        assert (topic_policy["arn"], topic_policy["policy"]) == (
            topic_arn(side),
            document(f"alerting_{side}_topic_policy_document"),
        )
    for name in ("source", "destination"):
        assert resources["aws_s3_bucket_policy"][f"data_{name}_policy"]["policy"] == document(
            f"data_{name}_policy_document"
        )


def test_every_function_runs_under_its_own_role(stack_json: Json) -> None:
    for name, function in stack_json["resource"]["aws_lambda_function"].items():
        role = f"{name}_role" if name.startswith("health_monitor") else f"{name.removesuffix('_function')}_role"
        assert function["role"] == f"${{aws_iam_role.{role}.arn}}"


@pytest.mark.parametrize("side", SIDES)
def test_the_cross_region_role_lasts_an_hour(stack_json: Json, side: str) -> None:
    role = stack_json["resource"]["aws_iam_role"][f"config_sync_{side}_to_{OTHER[side]}_role"]
    assert role["max_session_duration"] == 3600


def test_no_role_has_a_wildcard_beyond_log_streams_and_objects(stack_json: Json) -> None:
    for document in stack_json["data"]["aws_iam_policy_document"]:
        if not document.endswith("_permissions"):
            continue
        for statement in statements(stack_json, document):
            assert not [action for action in statement["actions"] if "*" in action]
            for resource in statement["resources"]:
                if resource.endswith(":*"):
                    assert ":log-group:/aws/lambda/" in resource
                elif resource.endswith("/*"):
                    assert resource.startswith("${aws_s3_bucket.")
                else:
                    assert "*" not in resource


def test_a_trust_in_an_aws_principal_never_asks_for_a_source_arn(stack_json: Json) -> None:
    """The key is absent when code calls AssumeRole: the role could never be assumed."""
    for document in stack_json["data"]["aws_iam_policy_document"]:
        if document.endswith("_trust"):
            for statement in statements(stack_json, document):
                if "AWS" in statement["principals"]:
                    assert not [key for key in statement["conditions"] if "aws:Source" in key]


TRUSTED = Statement(sid="Trusted", actions=["sts:AssumeRole"], principals={"Service": ["lambda.amazonaws.com"]})


@pytest.mark.parametrize(
    ("actions", "resources", "named_in_error"),
    [
        (["sqs:*"], ["arn:aws:sqs:eu-west-1:1:q"], "'sqs:*'"),
        (["s3:Get*"], ["arn:aws:s3:::b"], "'s3:Get*'"),
        (["sqs:SendMessage"], ["*"], "'*'"),
        (["sqs:SendMessage"], ["arn:aws:sqs:eu-west-1:1:*-q"], "'arn:aws:sqs:eu-west-1:1:*-q'"),
        (["sqs:SendMessage"], ["arn:aws:sqs:eu-west-1:1:*"], "'arn:aws:sqs:eu-west-1:1:*'"),
        (["ssm:GetParameter"], ["arn:aws:ssm:eu-west-1:1:parameter/*"], "'arn:aws:ssm:eu-west-1:1:parameter/*'"),
        (["sts:AssumeRole"], ["arn:aws:iam::1:role/?"], "'arn:aws:iam::1:role/?'"),
    ],
)
def test_a_role_with_wildcards_fails_at_synth(
    their_stack: TerraformStack, actions: list[str], resources: list[str], named_in_error: str
) -> None:
    broad, wide = (Statement(sid=sid, actions=actions, resources=resources) for sid in ("Broad", "Wide"))
    with pytest.raises(ConfigurationError, match="has a wildcard") as raised:
        Role(
            their_stack,
            "role",
            name="r",
            policy_name="p",
            description="d",
            trust=[TRUSTED],
            permissions=[broad, wide],
        )
    # both statements are named in the one error
    assert [mistake for mistake in raised.value.mistakes if named_in_error in mistake] == list(raised.value.mistakes)
    assert str(raised.value).count(named_in_error) == 2
