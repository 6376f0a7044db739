"""The tables that must know every part of the project know it, and name nothing that is gone.

Two tests of deployed stacks say that every output is compared with what is deployed: `test_every_output_is_compared`
in tests/deploy/test_deployment.py, and the one of all outputs in tests/deploy/test_custom_domain.py.
"""

import ast
import json
import pkgutil
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import pytest

import payment_dr
from embedded_aws import inventory
from embedded_aws.deployment import PRODUCTION_SETTINGS, PROJECT, STACK, synthesized
from embedded_aws.patches import ORDER
from main import CUSTOM_DOMAIN
from pages import costs, graph
from pages.synthesis import stack_of
from payment_dr import library
from payment_dr.described import Described
from payment_dr.operations import adoption
from payment_dr.operations.drill.outages import OUTAGES
from payment_dr.operations.iam_policies import NAMES, read
from payment_dr.stack import DisasterRecoveryStack
from permission_proof import deployer, deployer_scopes

pytestmark = pytest.mark.xdist_group("tables")  # one worker synthesizes

THE_STACK = "the stack"
ADOPTION = "constructs/payment_dr/operations/adoption.py"
INVENTORY = "REGIONAL, GLOBAL or PART_OF of embedded_aws/inventory.py"
TYPES: Mapping[str, tuple[str, ...]] = {
    f"FIND or REPEATABLE of {ADOPTION}": (*adoption.FIND, *adoption.REPEATABLE),
    INVENTORY: (*inventory.REGIONAL, *inventory.GLOBAL, *inventory.PART_OF),
    "PRICED or FREE of pages/costs.py": (*costs.PRICED, *costs.FREE),
    "DRAWN, JOINTS or LEFT_OUT of pages/graph.py": (*graph.DRAWN, *graph.JOINTS, *graph.LEFT_OUT),
    "_NEWER or _NOT_NEWER of permission_proof/deployer.py": (*deployer._NEWER, *deployer._NOT_NEWER),
}
SCOPES_FILE = "permission_proof/deployer_scopes.py"


def assert_complete(whole: str, parts: Iterable[str], table: str, named: Iterable[str]) -> None:
    """Fail where a table does not name exactly the parts of a whole, each of them once, and say what to edit."""
    there, counts = set(parts), Counter(named)
    faults = [
        *(f"{each} is in {whole} and not in {table}: add it there" for each in there - counts.keys()),
        *(f"{each} is in {table} and not in {whole}: take it out there" for each in counts.keys() - there),
        *(f"{each} is in {table} twice: take one out" for each, count in counts.items() if count > 1),
    ]
    if faults:
        pytest.fail("\n".join(sorted(faults)))


@pytest.fixture(scope="module")
def stacks() -> tuple[Any, Any, Any]:
    """The default stack, the one with the production preset, and one with endpoints in its networks."""

    def synthesize(settings: Mapping[str, str]) -> Any:
        with synthesized(settings=settings) as out:
            return json.loads((out / "stacks" / STACK / "cdk.tf.json").read_text(encoding="utf-8"))

    with ThreadPoolExecutor() as pool:
        default, with_options = pool.map(synthesize, ({}, PRODUCTION_SETTINGS))
    with_endpoints = stack_of(gateway_endpoints=["s3"], interface_endpoints=["ssm"])
    return default, with_options, with_endpoints


@pytest.fixture(scope="module")
def types(stacks: tuple[Any, Any, Any]) -> set[str]:
    """The types of resources of all three."""
    return {kind for stack in stacks for kind in stack["resource"]}


def test_a_table_that_is_not_complete_is_named_with_its_file_and_what_to_do() -> None:
    with pytest.raises(pytest.fail.Exception) as failed:
        assert_complete(THE_STACK, ["aws_eip", "aws_vpc"], "FREE of pages/costs.py", ["aws_nat", "aws_vpc", "aws_vpc"])
    assert str(failed.value).splitlines() == [
        "aws_eip is in the stack and not in FREE of pages/costs.py: add it there",
        "aws_nat is in FREE of pages/costs.py and not in the stack: take it out there",
        "aws_vpc is in FREE of pages/costs.py twice: take one out",
    ]


@pytest.mark.parametrize("table", TYPES)
def test_a_table_of_types_names_each_type_of_the_stack_once_and_no_other(table: str, types: set[str]) -> None:
    assert_complete(THE_STACK, types, table, TYPES[table])


def test_only_a_type_that_is_looked_for_is_tagged_later() -> None:
    later = adoption.TAGGED_LATER
    assert_complete("FIND", adoption.FIND.keys() & later, f"TAGGED_LATER of {ADOPTION}", later)


def test_what_is_not_listed_is_a_part_of_something_that_is() -> None:
    owners = {owner for owner in inventory.PART_OF.values() if owner}
    there = owners & (inventory.REGIONAL.keys() | inventory.GLOBAL.keys())
    assert_complete("REGIONAL or GLOBAL", there, "the values of PART_OF of embedded_aws/inventory.py", owners)


def service_of(kind: str) -> str | None:
    """The service of a type as IAM calls it: that of the call that lists it, or lists what it is a part of."""
    call = {**inventory.REGIONAL, **inventory.GLOBAL}.get(inventory.PART_OF.get(kind, kind) or "")
    return call and {"apigatewayv2": "apigateway"}.get(call[0], call[0])


@pytest.mark.parametrize("table", ["SCOPES", "OF_A_CUSTOM_DOMAIN"])
def test_the_deployer_has_a_scope_for_each_service_of_the_stack_and_for_no_other(
    table: str, stacks: tuple[Any, Any, Any], types: set[str]
) -> None:
    assert_complete(THE_STACK, types, INVENTORY, TYPES[INVENTORY])  # which says of what service each is
    with synthesized(settings={CUSTOM_DOMAIN: "1"}) as out:
        with_domain = json.loads((out / "stacks" / STACK / "cdk.tf.json").read_text(encoding="utf-8"))["resource"]
    of_domain = with_domain.keys() - stacks[0]["resource"].keys()
    found = ((kind, service_of(kind)) for kind in (types - of_domain if table == "SCOPES" else of_domain))
    of = {f"{kind} of the service {service}": service for kind, service in found if service}
    scopes = {scope.partition(" ")[0] for scope in getattr(deployer_scopes, table)}  # "s3 objects" is of s3
    named = [what for what, service in of.items() if service in scopes]
    dead = [f"the service {scope}" for scope in scopes - set(of.values())]
    assert_complete(THE_STACK, of, f"{table} of {SCOPES_FILE}", [*named, *dead])


def test_every_action_that_names_no_resource_is_in_a_policy() -> None:
    statements = [each for name in NAMES for each in read(name)["Statement"] if each["Sid"].endswith("Anywhere")]
    used = {action for each in statements for action in each["Action"] if not each["Sid"].startswith("Documented")}
    assert_complete("dr policies", used, f"ANYWHERE of {SCOPES_FILE}", deployer_scopes.ANYWHERE)


def names_in(folder: str, pattern: str = "*.py", *, but: Iterable[str] = ()) -> set[str]:
    """What the files of a folder are called, without their endings."""
    return {path.stem for path in (PROJECT / folder).glob(pattern)} - set(but)


PATCHES = "embedded_aws/patches"


def test_every_patch_is_applied_once() -> None:
    order = [patch.__name__.rpartition(".")[2] for patch in ORDER]
    assert_complete(PATCHES, names_in(PATCHES, but=["__init__"]), f"ORDER of {PATCHES}/__init__.py", order)


def test_every_patch_has_a_module_of_tests() -> None:
    tests = f"tests/{PATCHES}"
    tested = [name.removeprefix("test_") for name in names_in(tests, "test_*.py")]
    assert_complete(PATCHES, names_in(PATCHES, but=["__init__"]), f"the files test_*.py of {tests}", tested)


def constructs() -> set[str]:
    """The stack, and every construct that says in the synthesized stack what it is."""
    modules = [f"payment_dr.{each.name}" for each in pkgutil.iter_modules(payment_dr.__path__) if not each.ispkg]
    found = {each for module in modules for each in vars(import_module(module)).values() if isinstance(each, type)}
    return {each.__name__ for each in found if issubclass(each, Described | DisasterRecoveryStack)} - {"Described"}


def test_every_construct_is_exported() -> None:
    exported = constructs() & {*library.__all__}
    assert_complete("payment_dr", constructs(), "__all__ of constructs/payment_dr/library.py", exported)


def test_every_construct_has_a_page_and_an_example() -> None:
    from pages.construct_pages import CONSTRUCTS, file_name  # which takes them from what is exported

    assert_complete(
        "payment_dr",
        constructs(),
        "CONSTRUCTS of pages/construct_pages.py",
        [construct.__name__ for construct in CONSTRUCTS],
    )
    files = [file_name(construct) for construct in CONSTRUCTS]
    for folder, there in {
        "pages/minimal": names_in("pages/minimal"),
        "docs/constructs": names_in("docs/constructs", "*.md", but=["README", "limits", "values"]),
    }.items():
        assert_complete("CONSTRUCTS of pages/construct_pages.py", files, f"the files of {folder}", there)


def test_every_handler_is_deployed(stacks: tuple[Any, Any, Any]) -> None:
    _, with_options, _ = stacks
    deployed = {each["handler"].partition(".")[0] for each in with_options["resource"]["aws_lambda_function"].values()}
    assert_complete("handlers", names_in("handlers"), "the functions of constructs/payment_dr/stack.py", deployed)


def drilled(tests: str) -> Iterator[str]:
    """The outages of the tests that leave the stack as it is deployed: as parameters, or in the test itself."""
    for test in ast.parse((PROJECT / tests).read_text(encoding="utf-8")).body:
        if not isinstance(test, ast.FunctionDef) or not test.name.startswith("test_"):
            continue
        for call in ast.walk(test):
            match call:
                case ast.Call(func=ast.Attribute(attr="parametrize"), args=[ast.Constant(value="kind"), kinds]):
                    yield from ast.literal_eval(kinds)
                case ast.Call(func=ast.Name(id="drill"), args=[ast.Constant(value=str(kind))]):
                    if [argument.arg for argument in test.args.args] == ["drill"]:
                        yield kind


def test_every_outage_is_drilled_by_a_test() -> None:
    tests = "tests/deploy/test_drill.py"
    assert_complete("OUTAGES", OUTAGES, f"the tests of {tests}", drilled(tests))


def test_every_package_is_in_the_wheel() -> None:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    root = PROJECT / "constructs"
    packages = {".".join(path.parent.relative_to(root).parts) for path in root.rglob("__init__.py")}
    folders = {name: PROJECT / folder for name, folder in settings["package-dir"].items()}
    elsewhere = {name for name, folder in folders.items() if not folder.is_relative_to(root) and folder.is_dir()}
    assert_complete("constructs", packages | elsewhere, "packages of pyproject.toml", settings["packages"])


def test_every_script_of_the_wheel_exists() -> None:
    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    for script, target in scripts.items():
        module, _, function = target.partition(":")
        there = callable(getattr(import_module(module), function, None))
        assert there, f"{target} is in the scripts of pyproject.toml, as {script}, and not in constructs"
