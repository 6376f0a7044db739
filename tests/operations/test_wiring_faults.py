"""What a deployed stack cannot show cheaply of `dr status`; tests/deploy/test_status_faults.py has each fault."""

from collections.abc import Callable

import pytest

from payment_dr.operations.deployed import OF_A_TAKEOVER
from payment_dr.operations.status import BAD, CANNOT_TELL, OK, Finding, look_at
from payment_dr.side import SIDES, Side
from tests.operations.stack import GONE, OUTPUTS, REGIONS, Stack, allowing, refusal

THEIRS = "arn:aws:iam::aws:policy/CloudWatchLambdaInsightsExecutionRolePolicy"


def test_a_policy_that_an_operator_may_not_read_is_no_fault_where_the_others_allow_enough(stack: Stack) -> None:
    stack.wired.more["role-config_sync-primary"] = THEIRS
    stack.wired.policies[THEIRS] = refusal(403)
    assert look_at(stack).both["config sync"] == Finding("each region can copy to the other")


def test_a_policy_that_an_operator_may_not_read_may_allow_what_the_others_do_not(stack: Stack) -> None:
    stack.wired.policies["own"] = allowing("sts:*")
    stack.wired.more["role-config_sync-primary"] = THEIRS
    stack.wired.policies[THEIRS] = refusal(403)
    found = look_at(stack).both["config sync"]
    assert found.state == BAD  # of the secondary region, whose roles can be read
    assert "role-config_sync-primary" not in found.found
    assert "cannot tell: IAM rejects the call: AccessDeniedException" in found.found


def test_a_policy_is_inconclusive_if_iam_does_not_answer(stack: Stack) -> None:
    stack.failing["iam", "primary"] = GONE
    found = look_at(stack).both["config sync"]
    assert found == Finding("IAM does not answer", CANNOT_TELL)


def test_a_region_that_is_gone_does_not_hide_a_fault_of_the_other_one(stack: Stack) -> None:
    stack.failing["cloudwatch", "primary"] = GONE
    stack.described["alarm-drift-west-dev"] = {"AlarmActions": []}
    found = look_at(stack).both["alerts"]
    assert found == Finding(
        "no action is set on alarm-drift-west-dev: run terraform apply; "
        "cannot tell: CloudWatch in us-east-1 does not answer",
        BAD,
    )


def test_a_fault_of_many_alarms_is_one_sentence(stack: Stack) -> None:
    stack.alarms = {"primary": dict.fromkeys(OUTPUTS["alarm_names"], "OK"), "secondary": {}}
    stack.described = {name: {"ActionsEnabled": False, "AlarmActions": []} for name in OUTPUTS["alarm_names"]}
    assert look_at(stack).both["alerts"].found == (
        "actions are disabled on alarm-drift-east-dev and 1 more: run aws cloudwatch enable-alarm-actions"
    )


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ({"KeyState": "Disabled"}, "is disabled: run aws kms enable-key"),
        ({"KeyState": "Unavailable"}, "is in the state Unavailable"),
        (None, "does not exist: run terraform apply"),
    ],
)
def test_a_key_that_nobody_can_use_is_named_once_for_what_it_encrypts(
    stack: Stack, key: dict[str, str] | None, found: str
) -> None:
    stack.wired.keys["key-primary"] = key
    both = look_at(stack).both
    name = "key-primary" if key is None else "primary"
    assert both["alerts"] == Finding(f"the key {name} of us-east-1, which encrypts its alerts, {found}", BAD)
    assert both["config sync"] == Finding(
        f"the key {name} of us-east-1, which encrypts the parameter /payment-app/dev/api-key, {found}", BAD
    )


def test_a_rule_of_somebody_else_that_an_operator_may_not_read_may_run_the_function(stack: Stack) -> None:
    stack.wired.rules["lambda-config-sync-primary"] = ("every",)
    stack.failing["events", "primary", "describe_rule"] = refusal(403)
    assert look_at(stack).both["config sync"].state == CANNOT_TELL
    stack.failing.clear()
    assert look_at(stack).both["config sync"] == Finding(
        "no rule runs lambda-config-sync-primary on a change event: run terraform apply", BAD
    )


def test_the_watch_of_the_other_region_and_the_takeover_need_their_rules(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(switch=True)
    stack.wired.rules |= dict.fromkeys(("lambda-health-monitor-primary", "takeover"), ())
    assert look_at(stack).both["alerts"].state == OK  # of an earlier version, which has neither
    stack.outputs["alarm_names"] = [*OUTPUTS["alarm_names"], "alarm-health-monitor-peer-east-dev"]
    stack.alarms["primary"]["alarm-health-monitor-peer-east-dev"] = "OK"
    stack.outputs[OF_A_TAKEOVER] = "takeover"
    assert look_at(stack).both["alerts"] == Finding(
        "no rule runs lambda-health-monitor-primary on a schedule: run terraform apply; "
        "no rule runs takeover on a schedule: run terraform apply",
        BAD,
    )


def test_documents_that_are_copied_back_need_a_rule_too(make_stack: Callable[..., Stack]) -> None:
    assert look_at(make_stack(two_way=True)).both["document copies"].state == OK
    stack = make_stack(two_way=True)
    stack.failing["s3", "secondary", "get_bucket_replication"] = refusal(404, "ReplicationConfigurationNotFoundError")
    assert look_at(stack).both["document copies"] == Finding(
        "no replication rule copies all documents of documents-secondary to documents-primary: run terraform apply", BAD
    )


@pytest.mark.parametrize("side", SIDES)
def test_an_alarm_that_publishes_to_another_topic_is_named(side: Side, stack: Stack) -> None:
    name = OUTPUTS["alarm_names"][SIDES.index(side)]
    stack.described[name] = {"AlarmActions": ["arn:aws:sns:us-east-1:123456789012:theirs"]}
    topic = OUTPUTS[f"{side}_sns_topic_arn"]
    assert look_at(stack).both["alerts"] == Finding(
        f"no action publishes to {topic} on {name}: run terraform apply", BAD
    )


@pytest.mark.parametrize("side", SIDES)
def test_the_versions_of_both_buckets_are_needed_to_copy(side: Side, stack: Stack) -> None:
    stack.failing["s3", side, "get_bucket_versioning"] = GONE
    assert look_at(stack).both["document copies"].state == CANNOT_TELL


def test_a_role_encrypts_parameters_in_the_region_that_it_writes_to_alone(stack: Stack) -> None:
    deny = {"Effect": "Deny", "Action": "kms:Encrypt", "Resource": OUTPUTS["primary_kms_key_arn"]}
    stack.wired.policies["own"] = {"Statement": [*allowing("*")["Statement"], deny]}
    assert look_at(stack).both["config sync"] == Finding(
        f"the role role-target-primary may not kms:Encrypt with the key {OUTPUTS['primary_kms_key_arn']} "
        "for the parameter /payment-app/dev/api-key: run terraform apply, and remove what denies it",
        BAD,
    )


def test_a_key_may_be_used_through_sns_alone(stack: Stack) -> None:
    through = [f"sns.{region}.amazonaws.com" for region in REGIONS.values()]
    stack.wired.policies["own"] = {
        "Statement": [
            {"Effect": "Allow", "NotAction": "kms:*", "Resource": "*"},
            {**allowing("kms:*")["Statement"][0], "Condition": {"StringEquals": {"kms:ViaService": through}}},
        ]
    }
    assert look_at(stack).both["alerts"].state == OK
