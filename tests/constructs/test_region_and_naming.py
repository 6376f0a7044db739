"""Region names, their labels, and names within AWS's limits."""

import pytest

from payment_dr import ConfigurationError, EncryptionKey, Region, TerraformStack
from payment_dr.bindings import AwsProvider
from payment_dr.naming import ENVIRONMENT_PATTERN, name
from payment_dr.region import known_regions, labels_of, mistakes_in_pair

LONGEST_ENVIRONMENT = "e" * 12


def test_the_label_is_the_middle_of_the_name() -> None:
    assert (Region(name="us-east-1").label, Region(name="us-west-2").label) == ("east", "west")
    assert Region(name="us-west-2", label="oregon").label == "oregon"


@pytest.mark.parametrize("unknown", ["us-east-9", "", "east", "cn-north-1", "us-gov-west-1"])
def test_an_unknown_region_is_refused(unknown: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a commercial AWS region; use a name such as 'us-east-1'"):
        Region(name=unknown)


def test_a_region_whose_provider_deploys_elsewhere_is_refused(their_stack: TerraformStack) -> None:
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


def test_two_regions_never_have_the_same_label() -> None:
    regions = sorted(known_regions())
    for first in regions:
        for second in regions:
            if first != second:
                labels = labels_of(first, second)
                assert labels[0] != labels[1], (first, second)


def test_names_stay_within_the_limits_of_iam_and_s3() -> None:
    regions = sorted(known_regions())
    labels = {label for first in regions for second in regions if first != second for label in labels_of(first, second)}
    longest = max(labels, key=len)
    region = Region(name="us-east-1", label=longest)
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: 64 for roles; Lambda's is the same
    assert len(name("iam-role", "config-sync-target", region, LONGEST_ENVIRONMENT)) <= 64
    assert len(name("iam-policy", "config-sync-target", region, LONGEST_ENVIRONMENT)) <= 128
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    assert len(name("s3", "payment-docs", region, LONGEST_ENVIRONMENT)) + len("-123456789012") <= 63
    assert ENVIRONMENT_PATTERN.endswith("{1,11}$")
