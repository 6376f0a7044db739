"""Whatever is written as HCL, Terraform reads back as the same value: its own console is the judge."""

import json
import subprocess
import unicodedata
from base64 import b64decode
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from embedded_aws import stand_in_providers
from hcl import render
from payment_dr.operations.terraform.runner import Terraform

# What means something to HCL somewhere: in a template, a quoted string, a heredoc, JSON or a key of an object.
SIGNIFICANT = ["${", "%{", "$${", "%%{", "$", "%", "{", "}", "~", '"', "\\", "\\n", "\n", "\r", "\t", "\0", "<<-JSON\n"]
SIGNIFICANT += [
    "JSON",
    "EOT\n",
    "//",
    "/*",
    "#",
    "[",
    "]",
    ":",
    ",",
    "=",
    "null",
    "for",
    "\u2028",
    "\ufeff",
    "é",
    "e\u0301",
]

texts = st.lists(st.sampled_from(SIGNIFICANT) | st.text(max_size=3), max_size=6).map("".join)
keys = texts | st.sampled_from(["for", "if", "in", "null", "true", "a-b", "a.b", "1", "", "name"])
documents = st.recursive(
    texts, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2)
).map(lambda value: json.dumps(value, ensure_ascii=False))
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts | documents,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def terraform() -> Iterator[Terraform]:
    with TemporaryDirectory() as folder, Terraform(Path(folder), env={}, stand_ins=stand_in_providers) as found:
        yield found


def read(written: str, terraform: Terraform) -> Any:
    """Lay an expression out as in lib/, let Terraform evaluate it, and return its value."""
    text = render.indented(terraform.formatted(f"locals {{\n  read = {written}\n}}\n"))
    (terraform.directory / "main.tf").write_bytes(text.encode())
    told = subprocess.run(
        [terraform.binary.path, "console"],
        cwd=terraform.directory,
        env=terraform.environment,
        input="base64encode(jsonencode(local.read))\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return parsed(b64decode(json.loads(told.stdout)))


def parsed(text: str | bytes) -> Any:
    """Read JSON with its numbers as they are written: Terraform's are more precise than a float."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


def normal(value: Any) -> Any:
    """Return the value as Terraform holds it, whose strings are in the normal form C of Unicode."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, dict):
        return {normal(key): normal(each) for key, each in value.items()}
    return [normal(each) for each in value] if isinstance(value, list) else value


def escaped(value: Any) -> Any:
    """Return the value as cdktf writes it, where every string is a template."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, dict):
        return {escaped(key): escaped(each) for key, each in value.items()}
    return [escaped(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "written",
    [lambda value: render.expression(value, plain=True), lambda value: render.expression(escaped(value))],
    ids=["literals", "templates"],
)
@given(st.lists(values, min_size=1, max_size=60))
@example(["$${a}", "%%{a}", "$$${", "%%%{", "$", "${", '"', "\\", "é", "<<-EOT\na\nEOT"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_terraform_reads_back_what_was_written(
    terraform: Terraform, written: Callable[[Any], str], each: list[Any]
) -> None:
    assert read(written(each), terraform) == parsed(json.dumps(normal(each)))
