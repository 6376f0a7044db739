"""The renderer, without Terraform."""

from pathlib import Path

import pytest

from hcl import render
from hcl.library import HEADER, OTHER, HclError, section_of, write

SCHEMA = {
    "attributes": {"name": {}, "tags": {}},
    "block_types": {"rule": {"nesting_mode": "list", "block": {"attributes": {"port": {}}}}},
}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("${aws_vpc.a.id}", "aws_vpc.a.id"),
        ("${a}-${b}", '"${a}-${b}"'),
        ('${lookup(var.x, "}", b)}', 'lookup(var.x, "}", b)'),
        ('a "b" ${f("c")}', '"a \\"b\\" ${f("c")}"'),
        ("$${literal} %%{too}", '"$${literal} %%{too}"'),
        ("%{ if a }x%{ endif }", '"%{ if a }x%{ endif }"'),
        ("two\nlines\f\\b ü", '"two\\nlines\\u000c\\\\b ü"'),
        ("", '""'),
    ],
)
def test_templates(text: str, written: str) -> None:
    assert render.template(text) == written


def test_literals_are_no_templates() -> None:
    assert render.literal("${a} %{b}") == '"$${a} %%{b}"'


def test_the_schema_decides_between_block_and_attribute() -> None:
    content = {"name": "n", "tags": {"a": True, "for": 1}, "rule": [{"port": 1}, {}], "provider": "aws.secondary"}
    assert render.entity("resource", "t", "x", content, SCHEMA) == (
        'resource "t" "x" {\nname = "n"\ntags = {\na = true\n"for" = 1\n}\nprovider = aws.secondary\n'
        "\nrule {\nport = 1\n}\n\nrule {}\n}\n"
    )


def test_references_are_bare() -> None:
    content = {"depends_on": ["a.b"], "lifecycle": {"ignore_changes": ["name"]}}
    written = render.entity("resource", "t", "x", content, SCHEMA)
    assert "depends_on = [\na.b,\n]" in written
    assert "ignore_changes = [\nname,\n]" in written


def test_what_the_schema_does_not_know_is_refused() -> None:
    with pytest.raises(render.NotRenderable, match="knows no nmae"):
        render.entity("resource", "t", "x", {"nmae": "n"}, SCHEMA)


def test_unknown_types_come_last() -> None:
    assert section_of("aws_s3_bucket") == "S3"
    assert section_of("aws_acm_certificate") == OTHER


def test_a_foreign_file_is_not_overwritten(tmp_path: Path) -> None:

    (tmp_path / "main.tf").write_text("mine")
    with pytest.raises(HclError, match=r"main\.tf"):
        write(tmp_path, {"provider.tf": HEADER, "main.tf": HEADER})
    assert not (tmp_path / "provider.tf").exists()
