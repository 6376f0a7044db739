"""A branch of the whole stack has all of it, works alone, and leaves nothing behind."""

import json
import os
import signal
import socket
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from embedded_aws import EmbeddedAws, EmbeddedAwsError, checks
from embedded_aws.checks import eventually
from embedded_aws.deployment import LOCK_FILE, Deployment
from embedded_aws.inventory import inventory
from payment_dr.side import SIDES
from permission_proof.policies import deployed_policies
from tests.deploy.conftest import Deployed
from tests.embedded_aws.processes import runs, start_owner

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployment")]
REGIONS = ["us-east-1", "us-west-2"]

BRANCHES_AND_WAITS = """
import json, sys, time
from pathlib import Path
from embedded_aws.deployment import Deployment

with Deployment(stack_dir=Path(sys.argv[1])) as deployment, deployment.branch() as branch:
    print(json.dumps([deployment.aws.pid, branch.aws.pid]), flush=True)
    while True:
        time.sleep(0.05)
"""


@pytest.fixture
def temporary_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where everything temporary of a test goes, so that it can be seen to be empty afterwards.

    Its name is short enough for the sockets of Terraform's providers, which pytest's own is not.
    """
    with tempfile.TemporaryDirectory(prefix="test-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def everything(stack: Deployment) -> frozenset[str]:
    return frozenset(inventory(stack.aws, REGIONS))


def items(stack: Deployment) -> list[int]:
    table = stack.value("dynamodb_table_name")
    return [stack.client("dynamodb", side).scan(TableName=table, Select="COUNT")["Count"] for side in SIDES]


def put(stack: Deployment, name: str) -> None:
    table = stack.value("dynamodb_table_name")
    keys = stack.client("dynamodb", "primary").describe_table(TableName=table)["Table"]
    types = {each["AttributeName"]: each["AttributeType"] for each in keys["AttributeDefinitions"]}
    item = {key["AttributeName"]: {types[key["AttributeName"]]: name} for key in keys["KeySchema"]}
    stack.client("dynamodb", "primary").put_item(TableName=table, Item=item)


def test_every_check_of_a_deployment_passes_on_a_branch(branched: Deployment) -> None:
    done = [checks.run_check(name, check) for name, check in checks.checks_of(branched).items()]
    assert [f"{check.name}: {check.found}" for check in done if not check.passed] == []
    assert len(done) > len(branched.outputs) > 50


def test_its_outputs_are_the_origins_at_its_own_address(deployment: Deployed, branched: Deployment) -> None:
    there, here = repr(dict(deployment.outputs)), repr(dict(branched.outputs))
    assert f":{deployment.aws.port}" in there
    assert here == there.replace(f":{deployment.aws.port}", f":{branched.aws.port}")
    assert deployment.terraform.state_resources() == branched.terraform.state_resources()


def test_terraform_hashes_no_provider(deployment: Deployed, branched: Deployment) -> None:
    """Before each command it would: a tenth of a second becomes seven."""
    for stack in (deployment, branched):
        lock = (stack.terraform.directory / LOCK_FILE).read_text(encoding="utf-8")
        assert lock.count("\nprovider ") == 3
        assert "hashes" not in lock


def test_every_policy_is_equal_and_nothing_else_is_there(deployment: Deployed, branched: Deployment) -> None:
    def policies(stack: Deployment) -> list[tuple[str, ...]]:
        return [(each.owner, each.side, each.part, each.name, each.text) for each in deployed_policies(stack)]

    assert policies(branched) == policies(deployment)
    assert len(policies(branched)) > 10
    assert everything(branched) == {
        line.replace(f":{deployment.aws.port}", f":{branched.aws.port}") for line in everything(deployment)
    }


def test_a_change_by_hand_is_repaired_where_it_was_made(branched: Deployment) -> None:
    with branched.branch() as twig:
        group = f"/aws/lambda/{twig.value('secondary_health_monitor_function_name')}"
        twig.client("logs", "secondary").put_retention_policy(logGroupName=group, retentionInDays=7)
        with ThreadPoolExecutor() as pool:  # both at once: they share no lock and no directory
            here, there = pool.map(Deployment.plan, (twig, branched))
        assert len(here.actions) == 1
        assert there.actions == {}
        assert twig.apply(here).change == 1
        assert not twig.plan().changed


def test_a_write_in_one_is_never_seen_in_another(branched: Deployment) -> None:
    with branched.branch() as twig, branched.branch() as sibling:
        family = (branched, twig, sibling)
        for number, writing in enumerate(family):
            before = [items(stack) for stack in family]
            put(writing, f"{number}")
            for stack, had in zip(family, before, strict=True):
                assert items(stack) == ([count + 1 for count in had] if stack is writing else had)


def kinds(lines: Iterable[str]) -> Counter[str]:
    """How many there are of what, wherever: the names are another AWS's."""
    return Counter(" ".join(line.split()[:3]) for line in lines)


def test_it_outlives_its_origin_and_is_destroyed_alone(deployment: Deployed, temporary_directory: Path) -> None:
    def own_directories() -> list[str]:
        return sorted(path.name.partition("-")[0] for path in temporary_directory.iterdir())

    before = everything(deployment)
    with ExitStack() as opened:
        with deployment.branch() as origin:
            twig = opened.enter_context(origin.branch())
        assert own_directories() == ["embedded", "tfrun", "tfwork"]
        assert not twig.plan().changed
        twig.destroy()
        assert twig.terraform.state_resources() == []
        with EmbeddedAws() as empty:
            assert kinds(everything(twig)) == kinds(inventory(empty, REGIONS))
        assert own_directories() == ["embedded", "tfrun", "tfwork"]  # none of the origin's has come back
    assert own_directories() == []
    assert everything(deployment) == before


def test_one_that_is_killed_leaves_nothing_and_takes_nobody_along(
    deployment: Deployed, temporary_directory: Path
) -> None:
    with deployment.branch() as branch, deployment.branch() as sibling:
        checks.check_health(branch, "primary")
        pid, port = branch.aws.pid, branch.aws.port
        assert len([each for each in processes() if group_of(each) == pid]) > 1  # the function too
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EmbeddedAwsError, match="ended by itself"):
            eventually(lambda: is_gone(branch), "it is gone")
        eventually(lambda: pid not in map(group_of, processes()), "its functions are gone")
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            pass
        sibling.aws.alive()
    assert list(temporary_directory.iterdir()) == []
    assert "answers 200" in checks.check_health(deployment, "primary")


def is_gone(stack: Deployment) -> bool:
    stack.aws.alive()
    return False


def processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def test_nothing_is_left_when_their_owner_is_killed(stack_dir: Path, temporary_directory: Path) -> None:
    with start_owner(BRANCHES_AND_WAITS, temporary_directory, str(stack_dir)) as owner:
        assert owner.stdout is not None
        started = json.loads(owner.stdout.readline())
        assert len(list(temporary_directory.iterdir())) == 6
        owner.kill()
    eventually(lambda: not any(runs(pid) for pid in started), "both are gone")
    eventually(lambda: list(temporary_directory.iterdir()) == [], "their directories are gone")
