"""What is proven of the policies that `dr policies` prints."""

from collections.abc import Iterable, Set
from typing import Any

from payment_dr.operations.iam_policies import ENVIRONMENT, filled_in, read
from permission_proof.deployer import Deployer


def proven(user: Deployer, names: Iterable[str]) -> dict[str, Any]:
    """These policies in one, without what is documented only."""
    account_id = user.aws.account_id
    documents = [filled_in(read(name), account_id=account_id, environment=ENVIRONMENT) for name in names]
    statements = [each for document in documents for each in document["Statement"]]
    return {**documents[0], "Statement": [each for each in statements if not each["Sid"].startswith("Documented")]}


def without_actions(actions: Set[str], document: dict[str, Any]) -> dict[str, Any]:
    """A policy without some of its actions."""
    assert actions <= {action for each in document["Statement"] for action in each["Action"]}
    statements = [
        {**each, "Action": [action for action in each["Action"] if action not in actions]}
        for each in document["Statement"]
    ]
    return {**document, "Statement": [each for each in statements if each["Action"]]}
