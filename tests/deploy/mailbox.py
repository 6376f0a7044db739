"""What a region's topic sends, caught in a queue."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from embedded_aws.deployment import Deployment
from payment_dr.side import Side


class Mailbox:
    """A queue that is subscribed to a topic."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs, self._url = sqs, url
        self.mails: list[Any] = []

    def received(self) -> bool:
        """Take in what has arrived, and say whether there is any mail."""
        messages = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages", [])
        self.mails += [json.loads(message["Body"]) for message in messages]
        return bool(self.mails)


@contextmanager
def mailbox(deployment: Deployment, side: Side) -> Iterator[Mailbox]:
    """Subscribe a queue to the topic of the "primary" or "secondary" region; gone at the end."""
    sqs, sns = deployment.client("sqs", side), deployment.client("sns", side)
    queue = sqs.create_queue(QueueName="mailbox")["QueueUrl"]
    topic = deployment.value(f"{side}_sns_topic_arn")
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    # as on AWS, the queue has to let the topic in
    deliver = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deliver]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)["SubscriptionArn"]
    try:
        yield Mailbox(sqs, queue)
    finally:
        sns.unsubscribe(SubscriptionArn=subscription)
        sqs.delete_queue(QueueUrl=queue)
