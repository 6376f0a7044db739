"""Region names, their labels, and names within AWS's limits."""

import pytest

from payment_dr import ConfigurationError, Region
from payment_dr.naming import ENVIRONMENT_PATTERN, name
from payment_dr.region import known_regions, labels_of

LONGEST_ENVIRONMENT = "e" * 12


def test_the_label_is_the_middle_of_the_name() -> None:
    assert (Region(name="us-east-1").label, Region(name="us-west-2").label) == ("east", "west")
    assert Region(name="us-west-2", label="oregon").label == "oregon"


@pytest.mark.parametrize("unknown", ["us-east-9", "", "east", "cn-north-1", "us-gov-west-1"])
def test_an_unknown_region_is_refused(unknown: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a commercial AWS region; use a name such as 'us-east-1'"):
        Region(name=unknown)


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
