"""The IAM policies that people need to work with the stack: `dr policies`.

Their files are in the folder ``iam-policies``. `permission_proof.iam_policies` writes them, from recorded work.

To deploy takes five policies, because one managed policy cannot hold all rights: to create and destroy the stack, to
change it, for the custom domain, for endpoints in its networks, and rights that only AWS's pages ask for. There is one
more to operate the stack, one to plan it (another one with a custom domain), and one for the game day.
"""

import json
import re
from pathlib import Path
from typing import Any

from payment_dr.checks import ENVIRONMENT_PATTERN, LIMITS
from payment_dr.operations.errors import OperationError

FOLDER = Path(__file__).with_name("iam-policies")
DEPLOY, CHANGE, WITH_CUSTOM_DOMAIN, DOCUMENTED_ONLY = OF_A_DEPLOYER = (
    "deploy",
    "change",
    "custom-domain",
    "documented",
)
WITH_ENDPOINTS = "endpoints"
OPERATE, PLAN, PLAN_CUSTOM_DOMAIN, GAME_DAY = OF_OTHERS = ("operate", "plan", "plan-custom-domain", "game-day")
NAMES = (*OF_A_DEPLOYER, WITH_ENDPOINTS, *OF_OTHERS)
# Of every example of AWS: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_examples.html
ACCOUNT_ID, ENVIRONMENT, TABLE = "123456789012", "dev", "transactions"
_ENVIRONMENT_IN_ARN = re.compile(rf"(?<=[-/]){ENVIRONMENT}(?=[-/:]|$)")
_TABLE_IN_ARN = re.compile(rf"(.*:table/){TABLE}((?:/.*)?)")

Document = dict[str, Any]


def policies_for(account_id: str, environment: str, table_name: str = TABLE) -> dict[str, Document]:
    """All policies, by name, for one account and one environment.

    Args:
        account_id: Twelve digits.
        environment: The stack's variable ``environment``.
        table_name: The stack's argument ``table_name``.

    Raises:
        OperationError: One of them is not valid.
    """
    if not re.fullmatch(r"[0-9]{12}", account_id):
        raise OperationError(
            f"{account_id!r} is not an AWS account id", hint="aws sts get-caller-identity prints yours: twelve digits"
        )
    if not re.fullmatch(ENVIRONMENT_PATTERN, environment):
        raise OperationError(
            f"{environment!r} is not an environment of the stack",
            hint="give 2 to 12 lower-case letters, digits and hyphens, a letter first",
        )
    if not LIMITS["table_name"].accepts(table_name):
        raise OperationError(
            f"{table_name!r} is not a name of a table",
            hint="give 3 to 255 letters, digits, dots, hyphens and underscores",
        )
    return {
        name: filled_in(read(name), account_id=account_id, environment=environment, table_name=table_name)
        for name in NAMES
    }


def path_of(name: str, folder: Path = FOLDER) -> Path:
    """The file of a policy."""
    return folder / f"{name}.json"


def read(name: str) -> Document:
    """The policy in a file, with ``ACCOUNT_ID`` and ``ENVIRONMENT`` as placeholders."""
    document: Document = json.loads(path_of(name).read_text(encoding="utf-8"))
    return document


def written(document: Document) -> str:
    """The policy in a file."""
    return json.dumps(document, indent=2) + "\n"


def filled_in(document: Document, *, account_id: str, environment: str, table_name: str = TABLE) -> Document:
    """A policy with `ACCOUNT_ID`, `ENVIRONMENT` and `TABLE` replaced by one account, environment and table."""

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [filled(each) for each in value]
        if table := _TABLE_IN_ARN.fullmatch(value):
            return table[1].replace(ACCOUNT_ID, account_id) + table_name + table[2]
        return _ENVIRONMENT_IN_ARN.sub(environment, value).replace(ACCOUNT_ID, account_id)

    statements = [
        {name: filled(value) if name in ("Condition", "Resource") else value for name, value in statement.items()}
        for statement in document["Statement"]
    ]
    return {**document, "Statement": statements}
