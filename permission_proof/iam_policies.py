"""``python -m permission_proof.iam_policies``: writes the policies that `dr policies` prints, from recorded work."""

import sys
from pathlib import Path

import typer

from embedded_aws.deployment import STACK, UNPROTECTED_SETTINGS, synthesized
from payment_dr.operations.command import command, progress
from payment_dr.operations.files import write_whole
from payment_dr.operations.iam_policies import WITH_ENDPOINTS, Document, path_of, written
from payment_dr.operations.owned_directory import OwnedDirectory
from permission_proof.deployer import EVERYTHING, deployer, policies_of, policy_of_endpoints
from permission_proof.operators import policies_of_operators, work

NETWORK = Path(__file__).with_name("network_with_endpoints.py")
_ALL_RIGHTS: Document = {"Version": "2012-10-17", "Statement": [EVERYTHING]}


def observed() -> dict[str, Document]:
    """Deploy, operate, drill, plan, change and destroy a stack with the production preset, with all rights.

    Returns:
        The policies of the rights that were used, by name.

    Raises:
        OperationError: A step failed, or the resources of an action are not known.
    """
    with (
        synthesized(settings=UNPROTECTED_SETTINGS) as out,
        deployer(out / "stacks" / STACK) as user,
        OwnedDirectory("operators-") as directory,
    ):
        user.gets(_ALL_RIGHTS)
        user.deploy()
        with user.branch() as deployed:
            operated = work(deployed, lambda _: _ALL_RIGHTS, Path(directory))
        user.change()
        user.destroy()
    return {
        **policies_of(user.deployed, user.changed),
        WITH_ENDPOINTS: policy_of_endpoints(observed_endpoints()),
        **policies_of_operators(operated),
    }


def observed_endpoints() -> set[tuple[str, str]]:
    """Deploy, change and destroy a network with every endpoint, with all rights.

    Returns:
        Each action that was used, with its ARN.

    Raises:
        OperationError: A step failed.
    """
    with synthesized(NETWORK) as out, deployer(out / "stacks" / "network") as user:
        user.gets(_ALL_RIGHTS)
        user.deploy()
        user.change()
        user.destroy()
        return user.deployed | user.changed


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@command
def main() -> None:
    """Record a deployment, operations, a plan and a drill on an embedded AWS; write the policies of `dr policies`."""
    with progress.status("recording a deployment, operations, a plan and a drill"):
        documents = observed()
    for name, document in documents.items():
        write_whole(path_of(name), written(document).encode())
        sys.stdout.write(f"{path_of(name)}\n")


if __name__ == "__main__":
    app(prog_name="python -m permission_proof.iam_policies")
