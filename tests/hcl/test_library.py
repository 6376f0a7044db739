"""Which files there are, what they say, and what may be overwritten; without providers."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from embedded_aws.deployment import PROJECT
from hcl.library import HEADER, OTHER, HclError, configuration, rendered, section_of, write
from payment_dr.operations.terraform.runner import Terraform, TerraformFailed

STACK: dict[str, Any] = {
    "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}},
    "provider": {"aws": [{"region": "us-east-1"}, {"alias": "secondary"}]},
    "data": {"aws_region": {"current": {}}},
    "resource": {"aws_subnet": {"b": {}}, "aws_kms_key": {"c": {}}, "aws_vpc": {"a": {}}, "aws_mq_broker": {"d": {}}},
    "output": {"key": {"value": "${aws_kms_key.c.arn}"}},
}
KNOWN = {
    "aws": {
        "provider": {"block": {"attributes": {"region": {}}}},
        "data_source_schemas": {"aws_region": {"block": {}}},
        "resource_schemas": {type_: {"block": {}} for type_ in STACK["resource"]},
    }
}


class AsItIs:
    """A Terraform that leaves layout as it is."""

    def formatted(self, text: str) -> str:
        return text


def library(folder: Path, **changes: Any) -> dict[str, str]:
    (folder / "cdk.tf.json").write_text(json.dumps({**STACK, **changes}))
    return rendered(folder, KNOWN, cast(Terraform, AsItIs()))


def test_sections_are_in_the_order_of_the_brief_and_networks_before_what_is_in_them(tmp_path: Path) -> None:
    lines = library(tmp_path)["main.tf"].splitlines()
    assert [line for line in lines if line.startswith(("# ", "data", "resource", "output")) and "---" not in line] == [
        HEADER.strip(),
        "# Data sources",
        'data "aws_region" "current" {}',
        "# VPC networking",
        'resource "aws_vpc" "a" {}',
        'resource "aws_subnet" "b" {}',
        "# KMS",
        'resource "aws_kms_key" "c" {}',
        "# Other resources",
        'resource "aws_mq_broker" "d" {}',
        "# Outputs",
        'output "key" {',
    ]
    assert section_of("aws_s3_bucket") == "S3"
    assert section_of("aws_mq_broker") == OTHER


def test_a_section_says_what_the_outermost_constructs_are_that_made_it(tmp_path: Path) -> None:
    def made(*paths: str) -> dict[str, Any]:
        return {f"r{number}": {"//": {"metadata": {"path": path}}} for number, path in enumerate(paths)}

    descriptions = {
        "app/east": "Network: A VPC without a way to the internet.",
        "app/west": "Network: A VPC without a way to the internet.",
        "app/east/flow_log": "FlowLog: What nobody sees, as it is within another one.",
        "app/far": "Gateway: A very long description of something that is a resource of this section too, and more.",
    }
    resources = {"aws_vpc": made("app/east/vpc", "app/west/vpc", "app/east/flow_log/vpc", "app/own", "app/far")}
    main = library(tmp_path, resource=resources, **{"//": {"descriptions": descriptions}})["main.tf"]
    rule = "# " + "-" * 76
    assert (
        f"{rule}\n"
        "# VPC networking\n"
        "#\n"
        "# app/east, app/west\n"
        "#   Network: A VPC without a way to the internet.\n"
        "#\n"
        "# app/far\n"
        "#   Gateway: A very long description of something that is a resource of this\n"
        "#   section too, and more.\n"
        f"{rule}\n"
    ) in main


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        (
            {"resource": {"aws_vcp": {"a": {}}}},
            "the installed provider aws has no resource aws_vcp",
            "correct its name, or require a version of the provider that has it",
        ),
        (
            {"data": {"aws_regoin": {"a": {}}}},
            "the installed provider aws has no data source aws_regoin",
            "correct its name, or require a version of the provider that has it",
        ),
        (
            {"resource": {"tls_private_key": {"a": {}}}},
            "tls_private_key needs the provider tls, which the stack does not require",
            "require it under terraform, required_providers, by that name",
        ),
        (
            {"provider": {"tls": {}}},
            "a provider block needs the provider tls, which the stack does not require",
            "require it under terraform, required_providers, by that name",
        ),
        (
            {"resource": {"aws_vpc": {"a": {"cidr": "10.0.0.0/16"}}}},
            'resource "aws_vpc" "a": the schema knows no cidr',
            "add it to hcl/render.py",
        ),
    ],
)
def test_what_nobody_knows_is_one_sentence_and_a_hint(
    tmp_path: Path, changes: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(HclError) as refused:
        library(tmp_path, **changes)
    assert (refused.value.message, refused.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (None, "has no synthesized stack", "run 'make synth' first"),
        ("{", r"cdk\.tf\.json is not JSON: ", "run 'make synth' again"),
        ('{"moved": [], "check": {}}', "no HCL for check, moved", "add it to hcl/library.py"),
    ],
)
def test_what_is_no_stack_is_refused(tmp_path: Path, text: str | None, message: str, hint: str) -> None:
    if text:
        (tmp_path / "cdk.tf.json").write_text(text)
    with pytest.raises(HclError, match=message) as refused:
        configuration(tmp_path)
    assert refused.value.hint == hint


def test_what_terraform_cannot_tell_is_its_error(tmp_path: Path) -> None:
    (tmp_path / "main.tf.json").write_text(json.dumps({"provider": {"aws": {}}}))
    with Terraform(tmp_path, env={}) as terraform:
        with pytest.raises(TerraformFailed, match="terraform providers failed: "):
            terraform.schemas()
        with pytest.raises(TerraformFailed, match="terraform fmt failed: "):
            terraform.formatted("a = {")
        assert terraform.formatted("a=1\nbc=2\n") == "a  = 1\nbc = 2\n"


def contents(**handlers: str) -> dict[str, str]:
    """What ``rendered`` gives for a stack with these handlers."""
    record = "".join(
        f"# {name}.py sha256:{hashlib.sha256(text.encode()).hexdigest()}\n" for name, text in handlers.items()
    )
    named = {f"{name}.py": text for name, text in handlers.items()}
    return {"provider.tf": HEADER, "main.tf": HEADER + record, **named}


def found(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_second_run_replaces_what_the_first_wrote_and_keeps_what_is_yours(tmp_path: Path) -> None:
    out = tmp_path / "new" / "lib"
    write(out, contents(old="1", kept="1"))
    mine = {"terraform.tfvars": "mine", "backend_override.tf": "mine", "mine.py": "mine"}
    for name, text in mine.items():
        (out / name).write_text(text)
    write(out, contents(kept="2"))
    assert found(out) == {**contents(kept="2"), **mine}


@pytest.mark.parametrize("name", ["main.tf", "provider.tf", "handler.py"])
def test_a_foreign_file_is_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine, in Latin 1: \xe9")
    with pytest.raises(HclError, match=f"not written by this command: .*{name}"):
        write(tmp_path, contents(handler="1"))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_handler_that_was_changed_by_hand_is_not_lost(tmp_path: Path) -> None:
    write(tmp_path, contents(handler="1"))
    (tmp_path / "handler.py").write_text("mine")
    for wanted in (contents(handler="2"), contents()):
        if wanted == contents():
            write(tmp_path, wanted)
        else:
            with pytest.raises(HclError, match=r"handler\.py"):
                write(tmp_path, wanted)
        assert (tmp_path / "handler.py").read_text() == "mine"


def test_an_interrupted_run_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, contents(a="1"))

    def interrupted(path: Path, text: str, encoding: str) -> None:
        if path.name == "b.py":
            raise KeyboardInterrupt
        path.write_bytes(text.encode(encoding))

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, contents(a="2", b="2"))
    assert found(tmp_path) == contents(a="1")


def test_a_folder_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "lib").write_text("a file")
    with pytest.raises(HclError, match="lib cannot be written: ") as refused:
        write(tmp_path / "lib", contents())
    assert refused.value.hint == "choose another --out"


def make_clean(folder: Path) -> None:
    done = subprocess.run(
        ["make", "--silent", "-f", str(PROJECT / "Makefile"), "clean"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_make_clean_removes_what_was_generated(tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    write(lib, contents(handler="1"))
    (lib / ".terraform").mkdir()
    (lib / ".terraform.lock.hcl").touch()
    make_clean(tmp_path)
    assert not lib.exists()


def test_make_clean_keeps_what_is_yours(tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    write(lib, contents(handler="1"))
    (lib / "mine.py").write_text("mine")
    make_clean(tmp_path)
    assert found(lib) == {"mine.py": "mine"}
    (lib / "main.tf").write_text("mine")
    make_clean(tmp_path)
    assert found(lib) == {"main.tf": "mine", "mine.py": "mine"}
    make_clean(lib)  # where there is no lib at all
