from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from embedded_aws.__main__ import app
from payment_dr.operations.terraform.plan_markdown import plan_markdown
from payment_dr.operations.terraform.runner import PlanResult


def plan(**actions: str) -> PlanResult:
    named = {name.replace("__", "."): action for name, action in actions.items()}
    return PlanResult(bool(named), named, {}, Path("plan"), lambda _: {})


def test_a_plan_is_counts_then_addresses_then_the_text() -> None:
    planned = plan(aws_b__two="update", aws_a__one="update", aws_c__three="create")
    assert plan_markdown(planned, "\nTerraform will ...\n\nPlan: 1 to add\n") == (
        "**Plan:** 1 to create, 2 to update\n\n"
        "<details><summary>Changed addresses</summary>\n\n"
        "```\ncreate  aws_c.three\nupdate  aws_a.one\nupdate  aws_b.two\n```\n\n</details>\n\n"
        "<details><summary>Whole plan</summary>\n\n"
        "```\nTerraform will ...\n\nPlan: 1 to add\n```\n\n</details>\n"
    )


@pytest.mark.parametrize(
    ("action", "mode", "says"),
    [
        ("replace", None, True),
        ("create", "managed", True),
        ("create", "data", False),  # a first deployment
        ("create", None, False),
        ("update", "managed", False),
        ("delete", "managed", False),
    ],
)
def test_a_parameter_that_would_start_again_with_its_first_value_is_named(
    action: str, mode: str | None, says: bool
) -> None:
    state = {"prior_state": {"values": {"root_module": {"resources": [{"mode": mode}] if mode else []}}}}
    address = "aws_ssm_parameter.config_sync_parameter_api_key_east"
    actions = {address: action, "aws_kms_key.other": "create"}
    planned = PlanResult(True, actions, {}, Path("plan"), lambda _: state)
    assert (f"**First value again:** `{address}` would be created" in plan_markdown(planned, "")) is says


def test_no_change_names_no_address() -> None:
    assert plan_markdown(plan(), "No changes.") == (
        "**Plan:** no resource changes\n\n"
        "<details><summary>Whole plan</summary>\n\n```\nNo changes.\n```\n\n</details>\n"
    )


def test_the_text_cannot_end_its_fence() -> None:
    text = "description = <<-EOT\n````\nEOT"
    assert f"`````\n{text}\n`````" in plan_markdown(plan(), text)


@pytest.mark.parametrize(("options", "begins"), [([], "Terraform will"), (["--markdown"], "**Plan:** 1 to create\n")])
def test_the_command_prints_it_when_asked(monkeypatch: pytest.MonkeyPatch, options: list[str], begins: str) -> None:
    stack = Mock()
    stack.plan.return_value = plan(aws_a__one="create")
    stack.terraform.text_of.return_value = "Terraform will ..."
    monkeypatch.setattr("embedded_aws.__main__.Deployment", lambda **_: nullcontext(stack))
    printed = CliRunner().invoke(app, ["plan", *options])
    assert printed.exit_code == 0
    assert printed.stdout.startswith(begins)
