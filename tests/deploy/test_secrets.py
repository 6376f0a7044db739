"""A stack of its own, from its first plan until it is destroyed: in another pair of regions, with secrets of its own.

It works there as in the default pair, and leaves nothing. No value of a parameter is in anything that the deployment
and its functions leave behind, but where it has to be. Exempt are the state, the saved plan and JSON made of either,
which Terraform itself calls as sensitive as the state
(https://developer.hashicorp.com/terraform/language/state/sensitive-data), and the sensitive output.
"""

import base64
import dataclasses
import html
import json
import urllib.parse
import uuid
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from embedded_aws import checks
from embedded_aws.checks import Check, CheckFailed, eventually, run_check
from embedded_aws.deployment import Deployment, synthesized
from embedded_aws.inventory import inventory
from payment_dr.operations.aws import listed
from payment_dr.operations.terraform import runner as terraform_module
from payment_dr.operations.terraform.runner import Output, PlanResult
from payment_dr.side import SIDES, Side
from tests.deploy.mailbox import mailbox

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("secrets")]

REGIONS = ("ap-southeast-2", "us-west-2")
PACIFIC_APP = """
from payment_dr import App, DisasterRecoveryStack

app = App()
DisasterRecoveryStack(
    app,
    "pacific",
    primary_region="ap-southeast-2",
    secondary_region="us-west-2",
    primary_cidr="10.40.0.0/16",
    primary_subnet_cidrs=("10.40.1.0/24", "10.40.2.0/24", "10.40.3.0/24"),
    secondary_cidr="172.20.0.0/16",
    secondary_subnet_cidrs=("172.20.1.0/24", "172.20.2.0/24"),
)
app.synth()
"""
PLACES = {
    "environment": "prod",
    "primary_region": "ap-southeast-2",
    "secondary_region": "us-west-2",
    "primary_vpc_cidr": "10.40.0.0/16",
    "secondary_vpc_cidr": "172.20.0.0/16",
}
KEY = "/payment-app/prod/database-connection-string"
LONG = 4097  # more than a parameter of the standard tier takes


def sentinel(kind: str, length: int = 0) -> str:
    """A value that nothing else looks like, with what has to be escaped somewhere."""
    return f"{kind}-{uuid.uuid4()}:p\"a's\\s/w+örd&<%40>=".ljust(length, "x")


def spellings(secret: str) -> Iterator[bytes]:
    """A value as it is, as it stands in JSON, in an address and in HTML, and as a part of something in base64."""
    raw, quoted = secret.encode(), json.dumps(secret, ensure_ascii=False)[1:-1]
    by_terraform = quoted.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")  # as Go does
    ascii_quoted = json.dumps(secret)[1:-1]
    for text in (secret, quoted, by_terraform, ascii_quoted, json.dumps(ascii_quoted)[1:-1], html.escape(secret)):
        yield text.encode()
    for safe in ("", "/"):
        yield urllib.parse.quote(secret, safe=safe).encode()
        yield urllib.parse.quote_plus(secret, safe=safe).encode()
    for before in range(3):  # the first and last characters depend on what is around
        yield base64.b64encode(b"\0" * before + raw)[4:-4]


def is_in(content: bytes, secret: str) -> bool:
    return any(spelling in content for spelling in spellings(secret))


class Run:
    """Everything that one deployment produces, by where it was found, and what was seen of it meanwhile."""

    outputs: Mapping[str, Output]
    checks: Sequence[Check]
    functions: Mapping[Side, set[str]]
    secrets: Mapping[str, str]
    unrefreshed: Mapping[str, bytes]
    value_created_again: str
    left: Collection[str]

    def __init__(self) -> None:
        self.produced: dict[str, bytes] = {}

    def keep(self, name: str, content: object) -> None:
        text = content if isinstance(content, (str, bytes)) else json.dumps(content, default=str)
        data = text.encode() if isinstance(text, str) else text
        self.produced[name] = self.produced.get(name, b"") + data

    def keep_folder(self, name: str, folder: Path, exempt: Mapping[str, str]) -> None:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.name not in exempt and "providers" not in path.parts:
                self.keep(f"{name}/{path.relative_to(folder)}", path.read_bytes())

    def found_in(self, secrets: Mapping[str, str]) -> dict[str, list[str]]:
        """Where each secret is, in any spelling; the secret itself is not told."""
        return {
            name: places
            for name, secret in secrets.items()
            if (places := [place for place, content in self.produced.items() if is_in(content, secret)])
        }


class Planned(Deployment):
    """A deployment that keeps its last plan."""

    last_plan: PlanResult

    def plan(self) -> PlanResult:
        self.last_plan = super().plan()
        return self.last_plan


@contextmanager
def keeping_what_terraform_prints(run: Run) -> Iterator[None]:
    """On either stream, but for JSON made of the state or of a plan."""
    follow = terraform_module._follow

    def following(command: Any, **options: Any) -> tuple[int, str, str]:
        code, out, errors = follow(command, **options)
        made_of_state = command[1] in {"show", "output"} and "-json" in command
        run.keep(f"terraform {command[1]}", errors + ("" if made_of_state else out))
        return code, out, errors

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(terraform_module, "_follow", following)
        yield


def rotate(stack: Deployment, side: Side, value: str, **options: Any) -> None:
    key = stack.value(f"{side}_kms_key_arn")
    ssm = stack.client("ssm", side)
    ssm.put_parameter(Name=KEY, Value=value, Type="SecureString", Overwrite=True, KeyId=key, **options)


def value_in(stack: Deployment, side: Side) -> str:
    return str(stack.client("ssm", side).get_parameter(Name=KEY, WithDecryption=True)["Parameter"]["Value"])


def sync(stack: Deployment, run: Run, side: Side) -> str:
    """Reconcile now, keep the answer and the log, and return the error, without a value; empty if there is none."""
    answer = stack.client("lambda", side).invoke(
        FunctionName=stack.value(f"{side}_config_sync_function_name"),
        Payload=json.dumps({"source": "aws.events", "detail-type": "Scheduled Event"}).encode(),
        LogType="Tail",
    )
    payload = answer["Payload"].read()
    run.keep("answers of config sync", payload + base64.b64decode(answer.get("LogResult", "")))
    return str(json.loads(payload)["errorMessage"]) if "FunctionError" in answer else ""


def create_again(stack: Deployment, run: Run, side: Side) -> str:
    """Lose a parameter in one region, let Terraform create it and the sync copy; returns the value."""
    stack.client("ssm", side).delete_parameter(Name=KEY)
    label = {"primary": "southeast", "secondary": "west"}[side]
    stack.terraform.apply(targets=[f"aws_ssm_parameter.config_sync_parameter_database_connection_string_{label}"])
    assert sync(stack, run, SIDES[1 - SIDES.index(side)]) == ""
    return value_in(stack, side)


def plan_without_refresh(stack: Deployment) -> dict[str, bytes]:
    """Plan and apply as the workflow for AWS does; returns all that Terraform then has, by where it was."""
    plan = stack.terraform.plan(refresh=False)
    assert not plan.changed
    with zipfile.ZipFile(plan.path) as archive:
        found = {f"plan file: {name}": archive.read(name) for name in archive.namelist()}
    stack.terraform.apply(plan)
    outputs = {name: output.value for name, output in stack.terraform.output().items()}
    state = (stack.terraform.directory / "terraform.tfstate").read_bytes()
    return found | {"state": state, "outputs": json.dumps(outputs).encode()}


def rotate_both_ways_and_fail_to(stack: Deployment, run: Run) -> None:
    for side, other in (SIDES, SIDES[::-1]):
        value = sentinel(f"rotated-in-{side}")
        rotate(stack, side, value)
        eventually(lambda other=other, value=value: value_in(stack, other) == value, "the value is copied")  # type: ignore[misc]

    iam, name = stack.client("iam", "primary"), stack.value("cross_region_role_arn").rsplit("/", 1)[1]
    policy = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"][0]["PolicyArn"]
    iam.detach_role_policy(RoleName=name, PolicyArn=policy)
    rotate(stack, "primary", sentinel("denied"))
    assert "AccessDenied" in sync(stack, run, "primary")
    iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    kms = stack.client("kms", "primary")
    foreign = kms.create_key()["KeyMetadata"]["Arn"]
    ssm = stack.client("ssm", "primary")
    ssm.put_parameter(
        Name=KEY, Value=sentinel("unreadable"), Type="SecureString", Overwrite=True, KeyId=foreign, Tier="Standard"
    )
    assert "AccessDeniedException" in sync(stack, run, "primary")
    kms.schedule_key_deletion(KeyId=foreign, PendingWindowInDays=7)
    long = sentinel("long", LONG)
    rotate(stack, "primary", long, Tier="Advanced")
    assert sync(stack, run, "primary") == ""
    assert value_in(stack, "secondary") == long


def keep_what_aws_holds(stack: Deployment, run: Run) -> None:
    """Logs of all functions and APIs."""
    for side in SIDES:
        logs = stack.client("logs", side)
        for group in listed(logs, "describe_log_groups", "logGroups"):
            name = group["logGroupName"]
            events = listed(logs, "filter_log_events", "events", logGroupName=name)
            run.keep(f"log group {name}", "\n".join(event["message"] for event in events))


def mail(stack: Deployment, run: Run, side: Side) -> None:
    """Let the scheduled health check mail that it does not know."""
    lambda_, name = stack.client("lambda", side), stack.value(f"{side}_health_monitor_function_name")
    variables = lambda_.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    variables["DYNAMODB_TABLE_NAME"] = "not-our-table"
    lambda_.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    with mailbox(stack, side) as box:
        event = {"source": "aws.events", "detail-type": "Scheduled Event"}
        run.keep(
            "answers of the health monitor",
            lambda_.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"].read(),
        )
        eventually(box.received, "the mail arrives")
        run.keep(f"mail {side}", box.mails)


def all_values(stack: Deployment) -> dict[str, str]:
    """Every value that a parameter has ever had, in either region, by where it was."""
    found = {}
    for side in SIDES:
        ssm = stack.client("ssm", side)
        for name in stack.value("ssm_parameter_names"):
            for version in listed(ssm, "get_parameter_history", "Parameters", Name=name, WithDecryption=True):
                found[f"{side} {name} {version['Version']}"] = version["Value"]
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run()
    app = tmp_path_factory.mktemp("pacific") / "main.py"  # neither in the repository nor beside it
    app.write_text(PACIFIC_APP)
    initial = {"database-connection-string": sentinel("initial")}  # the other one gets a random value
    with (
        keeping_what_terraform_prints(run),
        synthesized(app) as folder,
        Planned(
            stack_dir=folder / "stacks/pacific",
            variables={"environment": "prod", "initial_secrets": initial},
            on_event=lambda event: run.keep("events", dataclasses.asdict(event)),
            on_step=lambda step: run.keep("steps", step),
        ) as stack,
    ):
        before = inventory(stack.aws, REGIONS)
        plan = stack.plan()
        run.keep("plan text", stack.terraform.text_of(plan))
        stack.apply(plan)
        run.outputs = stack.outputs
        *first_checks, last_check = checks.checks_of(stack).items()
        report = [run_check(*each) for each in first_checks]
        wrong = Output({KEY: sentinel("wrong")}, sensitive=True, type="string")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(stack, "_outputs", {**stack.outputs, "ssm_parameter_values": wrong})
            with pytest.raises(CheckFailed) as failed:
                checks.check_output(stack, "ssm_parameter_values")
        run.keep("failed check", str(failed.value))

        rotate_both_ways_and_fail_to(stack, run)
        run.unrefreshed = plan_without_refresh(stack)
        run.value_created_again = create_again(stack, run, "secondary")
        report.append(run_check(*last_check))  # plans
        run.keep("plan text", stack.terraform.text_of(stack.last_plan))
        run.keep("report", [dataclasses.asdict(check) for check in report])
        run.checks = report
        for side in SIDES:
            mail(stack, run, side)
        keep_what_aws_holds(stack, run)
        run.functions = {
            side: {each["FunctionName"] for each in stack.client("lambda", side).list_functions()["Functions"]}
            for side in SIDES
        }

        run.secrets = {"wrong": wrong.value[KEY], **all_values(stack)}
        state = stack.terraform.directory / "terraform.tfstate"
        first = [run.secrets[f"primary {name} 1"] for name in stack.value("ssm_parameter_names")]
        assert all(is_in(state.read_bytes(), value) for value in first)

        exempt = {state.name: "state", f"{state.name}.backup": "state", "plan": "saved plan"}
        run.keep_folder("working directory", stack.terraform.directory, exempt)
        run.keep_folder("Terraform's temporary files", Path(stack.terraform._run_directory.name), exempt)
        assert stack.aws._directory
        run.keep_folder("the embedded AWS's files", stack.aws._directory, {})
        stack.destroy()
        run.left = [*stack.terraform.state_resources(), *(inventory(stack.aws, REGIONS) - before)]
    run.keep("log of the embedded AWS", stack.aws.log_text())
    return run


def test_the_stack_works_in_another_pair_of_regions(run: Run) -> None:
    assert [(check.name, check.found) for check in run.checks if not check.passed] == []
    assert {"second plan is empty", *(f"output {name}" for name in run.outputs)} <= {each.name for each in run.checks}
    assert {name: run.outputs[name].value for name in PLACES} == PLACES
    assert run.functions == {
        side: {f"lambda-health-monitor-{label}-prod", f"lambda-config-sync-{label}-prod"}
        for side, label in zip(SIDES, ("southeast", "west"), strict=True)
    }
    # Route 53 publishes the metrics of health checks in us-east-1 alone, where this stack has nothing.
    assert [name for name in run.outputs["alarm_names"].value if "health-check" in name] == []


def test_it_leaves_nothing(run: Run) -> None:
    assert run.left == []


def test_no_secret_is_in_anything_that_a_run_produces(run: Run) -> None:
    kinds = ["initial", "rotated-in-primary", "rotated-in-secondary", "denied", "unreadable", "long", "rotated"]
    assert [kind for kind in kinds if not any(value.startswith(f"{kind}-") for value in run.secrets.values())] == []
    assert run.outputs["ssm_parameter_values"].sensitive
    produced = b"".join(run.produced.values())
    for told in [b"AccessDenied", b"cannot be decrypted", b"(sensitive value)", b"copied"]:
        assert told in produced
    assert {place.split()[0] for place in run.produced} >= {"terraform", "events", "log", "mail", "report"}
    assert run.found_in(run.secrets) == {}


def test_a_parameter_that_terraform_creates_again_takes_the_rotated_value(run: Run) -> None:
    assert run.value_created_again.startswith("long-")


def test_without_a_refresh_terraform_has_first_values_alone(run: Run) -> None:
    first = {value for name, value in run.secrets.items() if name.endswith(" 1") and name.startswith("primary")}
    assert any(is_in(run.unrefreshed["state"], value) for value in first)
    for place, content in run.unrefreshed.items():
        assert [name for name, value in run.secrets.items() if value not in first and is_in(content, value)] == [], (
            place
        )
    later = [value for value in run.secrets.values() if value not in first]
    assert not any(is_in(json.dumps(run.outputs["ssm_parameter_values"].value).encode(), value) for value in later)
