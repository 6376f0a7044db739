"""The renderer, without Terraform."""

from collections.abc import Callable

import pytest

from hcl import render

SCHEMA = {
    "attributes": {"name": {}, "size": {}, "tags": {}},
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
        ("${tolist(a.b).0.c}", "tolist(a.b)[0].c"),
        ("x-${a.b.10}", '"x-${a.b[10]}"'),
        ('${a["b.0.c"] + 1.5}', 'a["b.0.c"] + 1.5'),
        ("", '""'),
    ],
)
def test_templates(text: str, written: str) -> None:
    assert render.template(text) == written


def test_literals_are_no_templates() -> None:
    assert render.literal("${a} %{b}") == '"$${a} %%{b}"'


def test_the_schema_decides_between_block_and_attribute() -> None:
    content = {"name": "n", "tags": {"a": True, "for": 1}, "rule": [{"port": 1}, {}]}
    assert render.entity("resource", "t", "x", content, SCHEMA) == (
        'resource "t" "x" {\nname = "n"\ntags = {\na = true\n"for" = 1\n}\n\nrule {\nport = 1\n}\n\nrule {}\n}\n'
    )


def test_the_order_is_that_of_the_style_guide() -> None:
    content = {
        "//": {"metadata": {"path": "app/x"}, "suppressed": {"CKV_1": "by\ndesign"}},
        "depends_on": ["a.b"],
        "lifecycle": {"ignore_changes": ["name"], "precondition": [{"condition": "${true}", "error_message": "no"}]},
        "rule": {"port": 1},
        "tags": {"a": 1},
        "size": 2,
        "provider": "aws.secondary",
        "name": "n",
        "count": 3,
    }
    assert render.entity("resource", "t", "x", content, SCHEMA) == (
        "# app/x\n"
        'resource "t" "x" {\n'
        "# checkov:skip=CKV_1:by design\n"
        "\n"
        "count = 3\n"
        "provider = aws.secondary\n"
        "\n"
        'name = "n"\n'
        "size = 2\n"
        "tags = {\na = 1\n}\n"
        "\n"
        "rule {\nport = 1\n}\n"
        "\n"
        'lifecycle {\nignore_changes = [name]\n\nprecondition {\ncondition = true\nerror_message = "no"\n}\n}\n'
        "\n"
        "depends_on = [a.b]\n"
        "}\n"
    )


@pytest.mark.parametrize("lifecycle", [None, []])
def test_a_lifecycle_that_says_nothing_is_left_out(lifecycle: object) -> None:
    content = {"rule": {}, "lifecycle": lifecycle}
    assert render.entity("resource", "t", "x", content, SCHEMA) == 'resource "t" "x" {\nrule {}\n}\n'


def test_only_terraforms_own_arguments_are_references() -> None:
    content = {"provider": "aws.secondary", "iterator": "a word", "depends_on": ["${a.b}"]}
    written = render.entity("resource", "t", "x", content, {"attributes": {"iterator": {}}})
    assert written == ('resource "t" "x" {\nprovider = aws.secondary\n\niterator = "a word"\n\ndepends_on = [a.b]\n}\n')


def test_blocks_can_be_dynamic() -> None:
    content = {
        "dynamic": {"rule": [{"for_each": "${var.ports}", "iterator": "each", "content": {"port": "${each.value}"}}]}
    }
    assert render.entity("resource", "t", "x", content, SCHEMA) == (
        'resource "t" "x" {\ndynamic "rule" {\nfor_each = var.ports\niterator = each\n\n'
        "content {\nport = each.value\n}\n}\n}\n"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (
            '{"a": ["${var.b}", "$${c}"], "d": ${var.e}}',
            'chomp(<<-JSON\n{"a": ["${var.b}", "$${c}"], "d": ${var.e}}\nJSON\n)',
        ),
        ('["a\\"b"]', 'chomp(<<-JSON\n["a\\"b"]\nJSON\n)'),
        ('["a",\n"b"]', r'"[\"a\",\n\"b\"]"'),  # an indentation would be lost
        ('["a"] ', r'"[\"a\"] "'),
        ("{a}", '"{a}"'),
        ('"a"', r'"\"a\""'),
    ],
)
def test_json_is_written_without_escapes(value: str, written: str) -> None:
    assert render.expression(value) == written


def test_json_is_indented_as_what_it_is_in() -> None:
    text = 'a = 1\n  b = chomp(<<-JSON\n["c"]\nJSON\n  )\nd = chomp(<<-JSON\n[1]\nJSON\n)\n'
    assert render.indented(text) == (
        'a = 1\n  b = chomp(<<-JSON\n    ["c"]\n  JSON\n  )\nd = chomp(<<-JSON\n  [1]\nJSON\n)\n'
    )


def test_variables_and_outputs_begin_with_what_they_are() -> None:
    wanted = {"condition": "${var.v > 1}", "error_message": "too small: ${var.v}"}
    content = {"default": "${plain}", "nullable": False, "sensitive": True, "description": "d", "type": "string"}
    check = 'condition = var.v > 1\nerror_message = "too small: ${var.v}"\n}\n}\n'
    assert render.variable("v", {**content, "validation": [wanted]}) == (
        'variable "v" {\ntype = string\ndescription = "d"\ndefault = "$${plain}"\n'
        "sensitive = true\nnullable = false\n\n"
        f"validation {{\n{check}"
    )
    content = {"depends_on": ["a.b"], "value": "${a.b.c}", "description": "d", "precondition": wanted}
    assert render.output("o", content) == (
        f'output "o" {{\ndescription = "d"\nvalue = a.b.c\ndepends_on = [a.b]\n\nprecondition {{\n{check}'
    )


@pytest.mark.parametrize(
    ("refused", "what"),
    [
        (lambda: render.variable("v", {"tpye": "string"}), 'variable "v": Terraform knows no tpye'),
        (lambda: render.output("o", {"vlaue": 1}), 'output "o": Terraform knows no vlaue'),
        (lambda: render.terraform({"cloud": {}}), "terraform: cloud is not supported"),
        (lambda: render.template("${a"), r"a template is not closed: \$\{a"),
        (
            lambda: render.entity("resource", "t", "x", {"dynamic": {"rlue": {}}}, SCHEMA),
            "the schema knows no block rlue",
        ),
    ],
)
def test_nothing_is_left_out_silently(refused: Callable[[], str], what: str) -> None:
    with pytest.raises(render.NotRenderable, match=what):
        refused()


def test_what_the_schema_does_not_know_is_refused() -> None:
    with pytest.raises(render.NotRenderable, match="knows no nmae"):
        render.entity("resource", "t", "x", {"nmae": "n"}, SCHEMA)
