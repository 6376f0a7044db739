"""A queue that is subscribed beside the email address gets the alarms of both regions, decrypted."""

import json

import pytest

from embedded_aws.checks import eventually
from embedded_aws.deployment import Deployment
from payment_dr.side import SIDES
from tests.deploy.conftest import Reshape

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployment")]


def test_a_queue_gets_the_alarms_of_both_encrypted_topics(branched: Deployment, reshape: Reshape) -> None:
    sqs = branched.client("sqs", "secondary")
    topics = [branched.value(f"{side}_sns_topic_arn") for side in SIDES]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": f"arn:aws:sqs:us-west-2:{branched.aws.account_id}:oncall",
        "Condition": {"ArnEquals": {"aws:SourceArn": topics}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    queue = sqs.create_queue(QueueName="oncall", Attributes={"Policy": policy})["QueueUrl"]
    reshape(branched, f'subscriptions=[Subscription(protocol="sqs", endpoint="{statement["Resource"]}")]')
    changes = branched.apply()
    assert (changes.add, changes.change, changes.remove) == (2, 0, 0)

    for side in SIDES:
        alarms = branched.client("cloudwatch", side)
        label = {"primary": "east", "secondary": "west"}[side]
        name = f"alarm-config-sync-errors-{label}-dev"
        assert name in branched.value("alarm_names")
        alarms.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    found: set[tuple[str, str]] = set()

    def both_are_there() -> bool:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            body = json.loads(message["Body"])
            alarm = json.loads(body["Message"])
            found.add((body["TopicArn"], alarm["NewStateValue"]))
        return {topic for topic, state in found if state == "ALARM"} == {*topics}

    eventually(both_are_there, "an alarm of each region in the queue")
