"""Region names, their labels, and names within AWS's limits."""

import re
from collections.abc import Callable
from itertools import permutations

import pytest

from payment_dr import (
    App,
    AwsProvider,
    ConfigurationError,
    DisasterRecoveryStack,
    EncryptionKey,
    Region,
    TerraformStack,
)
from payment_dr.checks import ENVIRONMENT_PATTERN, NAMES
from payment_dr.region import ENABLED_BY_DEFAULT, known_regions, labels_of, mistakes_in_pair
from tests.constructs.documents import Json
from tests.constructs.test_stack import synthesized

LONGEST_ENVIRONMENT = "e" * 12


def test_the_label_is_the_middle_of_the_name() -> None:
    assert (Region(name="us-east-1").label, Region(name="us-west-2").label) == ("east", "west")
    assert Region(name="us-west-2", label="oregon").label == "oregon"


@pytest.mark.parametrize(
    ("unknown", "instead"),
    [
        ("us-west-3", "did you mean 'us-west-2'?"),
        ("eu-west1", "did you mean 'eu-west-1'?"),
        ("EU_CENTRAL_1", "did you mean 'eu-central-1'?"),
        ("ap-southest-2", "did you mean 'ap-southeast-2'?"),
        ("frankfurt", "use a name such as 'us-east-1'"),
        ("", "use a name such as 'us-east-1'"),
    ],
)
def test_an_unknown_region_fails_at_synth(unknown: str, instead: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Region(name=unknown)
    assert raised.value.mistakes == (f"name={unknown!r} is not a commercial AWS region; {instead}",)


@pytest.mark.parametrize(("name_", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")])
def test_a_region_of_another_partition_fails_at_synth(name_: str, partition: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name_}' is in the partition {partition}, .* use a commercial AWS"):
        Region(name=name_)


def test_regions_that_an_account_must_enable_are_named_at_synth(new_app: Callable[[], App]) -> None:
    stack = DisasterRecoveryStack(new_app(), "milan", primary_region="eu-south-1", secondary_region="eu-west-1")
    (warning,) = [str(entry.data) for entry in stack.node.metadata if entry.type == "@cdktf/warn"]
    assert "eu-south-1 is an opt-in region" in warning
    assert warning.endswith("aws account enable-region --region-name eu-south-1")
    # https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html
    assert ENABLED_BY_DEFAULT.isdisjoint({"af-south-1", "ap-east-1", "eu-south-1", "me-south-1"})
    assert known_regions() > ENABLED_BY_DEFAULT


def test_a_region_whose_provider_deploys_elsewhere_fails_at_synth(their_stack: TerraformStack) -> None:
    AwsProvider(their_stack, "aws", region="us-east-1")
    west = AwsProvider(their_stack, "west", alias="west", region="us-west-2")
    with pytest.raises(
        ConfigurationError, match="region 'us-west-2' would be deployed by the default provider to 'us-e"
    ):
        EncryptionKey(their_stack, "no_provider", region=Region(name="us-west-2"), environment="dev")
    with pytest.raises(
        ConfigurationError, match="region 'eu-west-1' would be deployed by provider 'west' to 'us-west-2'"
    ):
        EncryptionKey(their_stack, "wrong", region=Region(name="eu-west-1", provider=west), environment="dev")
    EncryptionKey(their_stack, "right", region=Region(name="us-west-2", provider=west), environment="dev")


def test_a_pair_needs_two_names_two_labels_and_two_providers(their_stack: TerraformStack) -> None:
    second = AwsProvider(their_stack, "second", alias="second", region="us-east-2")
    first, other = Region(name="us-east-1"), Region(name="us-east-2", provider=second)
    (alike,) = mistakes_in_pair(their_stack, first, other)
    assert "have the same label 'east'" in alike
    named = Region(name="us-east-2", label="ohio", provider=second)
    assert mistakes_in_pair(their_stack, first, named) == []
    (shared,) = mistakes_in_pair(their_stack, first, Region(name="us-west-2"))
    assert "use the same provider; give one of them a provider with an alias" in shared


# What AWS lets names be, by type. They differ between the regions, too, although only IAM's and S3's would have to.
NAMED = {
    "aws_iam_role": NAMES["iam-role-"],
    "aws_iam_policy": NAMES["iam-policy-"],
    "aws_s3_bucket": NAMES["s3-"],
    "aws_lambda_function": NAMES["lambda-"],
    "aws_cloudwatch_event_rule": NAMES["event-rule-"],
    "aws_cloudwatch_metric_alarm": NAMES["alarm-"],
    "aws_cloudwatch_log_group": NAMES["/aws/"],
    "aws_sns_topic": NAMES["sns-"],
    "aws_apigatewayv2_api": NAMES["api-"],
    "aws_kms_alias": NAMES["alias/"],
}
NAME_OF = {
    "aws_s3_bucket": "bucket",
    "aws_lambda_function": "function_name",
    "aws_cloudwatch_metric_alarm": "alarm_name",
}
PAIRS = list(permutations(sorted(known_regions()), 2))


def test_the_longest_environment_is_what_the_pattern_allows() -> None:
    assert re.fullmatch(ENVIRONMENT_PATTERN, LONGEST_ENVIRONMENT)
    assert not re.fullmatch(ENVIRONMENT_PATTERN, f"{LONGEST_ENVIRONMENT}e")


def _templates(stack_json: Json) -> list[tuple[str, str]]:
    """Every name of the default stack by type, with {0} and {1} for the labels of its regions."""
    found = []
    for type_ in NAMED:
        for resource in stack_json["resource"][type_].values():
            name_ = resource[NAME_OF.get(type_, "name")].replace("${var.environment}", LONGEST_ENVIRONMENT)
            name_ = name_.replace("${data.aws_caller_identity.current.account_id}", "123456789012")
            assert "$" not in name_, name_
            found.append((type_, re.sub(r"-west-(?=e{12})", "-{1}-", re.sub(r"-east-(?=e{12})", "-{0}-", name_))))
    return found


def test_names_of_every_pair_of_regions_differ_and_stay_within_the_limits_of_aws(stack_json: Json) -> None:
    templates = _templates(stack_json)
    assert {index for _, name_ in templates for index in re.findall(r"[{](.)[}]", name_)} == {"0", "1"}
    assert [name_ for _, name_ in templates if "{" not in name_] == []
    for first, second in PAIRS:
        labels = labels_of(first, second)
        named = [(type_, name_.format(*labels)) for type_, name_ in templates]
        assert len(set(named)) == len(named), (first, second)
        assert [each for each in named if not NAMED[each[0]].accepts(each[1])] == [], (first, second)


def test_labels_of_every_pair_of_regions_differ_and_suit_terraforms_addresses() -> None:
    for first, second in PAIRS:
        labels = labels_of(first, second)
        assert labels[0] != labels[1], (first, second)
        assert all(re.fullmatch("[a-z][a-z0-9]*", label) for label in labels), (first, second)


@pytest.mark.parametrize(
    ("first", "second", "labels"),
    [
        ("us-east-1", "us-east-2", ("useast1", "useast2")),
        ("eu-west-1", "us-west-2", ("euwest1", "uswest2")),
        ("ap-southeast-1", "ap-southeast-2", ("apsoutheast1", "apsoutheast2")),
    ],
)
def test_names_of_a_pair_with_one_compass_word_distinguish_its_regions(
    new_app: Callable[[], App], first: str, second: str, labels: tuple[str, str]
) -> None:
    resources = synthesized(new_app, primary_region=first, secondary_region=second)["resource"]
    functions = {
        f["function_name"].replace("${var.environment}", "dev") for f in resources["aws_lambda_function"].values()
    }
    assert functions == {
        f"lambda-{purpose}-{label}-dev" for purpose in ("health-monitor", "config-sync") for label in labels
    }
