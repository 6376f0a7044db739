import http.server
import json
import os
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedded_aws import stand_in_providers
from payment_dr.operations.errors import OperationError
from payment_dr.operations.terraform import provider_sources
from payment_dr.operations.terraform.provider_sources import (
    Installation,
    Machine,
    Requirement,
    locate,
    requirements,
    satisfies,
)
from tests.operations.terraform.isolated_machine import isolated_machine

PLATFORM = "linux_amd64"
AWS = Requirement("registry.terraform.io/hashicorp/aws", "~> 5.0")
ARCHIVE = Requirement("registry.terraform.io/hashicorp/archive", "~> 2.4")
RANDOM = Requirement("registry.terraform.io/hashicorp/random", "~> 3.6")


def put(mirror: Path, requirement: Requirement, version: str, platform: str = PLATFORM) -> Path:
    package = mirror / requirement.source / version / platform
    package.mkdir(parents=True)
    (package / f"terraform-provider-{requirement.name}_v{version}").touch()
    return mirror


def never(requirement: Requirement, configuration: Path) -> Path | None:
    raise AssertionError(f"{requirement} was looked for by {configuration}")


@pytest.fixture
def find(tmp_path: Path) -> Callable[..., Installation]:
    def run(
        machine: Machine, *required: Requirement, by_user: Callable[[Requirement, Path], Path | None] = never
    ) -> Installation:
        return locate(
            required or (AWS,),
            directory=tmp_path / "work",
            run=tmp_path / "run",
            platform=PLATFORM,
            machine=machine,
            by_user_configuration=by_user,
            stand_ins=stand_in_providers,
        )

    return run


Find = Callable[..., Installation]


def test_mirrors_are_searched_in_the_documented_order(find: Find, tmp_path: Path) -> None:
    machine = isolated_machine(
        tmp_path,
        TF_PROVIDER_MIRROR=os.pathsep.join([str(tmp_path / "first"), str(tmp_path / "second")]),
        TF_PLUGIN_CACHE_DIR=str(tmp_path / "cache"),
        XDG_DATA_HOME=str(tmp_path / "data"),
    )
    places = [
        tmp_path / "cache",
        tmp_path / "first",
        tmp_path / "second",
        tmp_path / "work" / "terraform.d" / "plugins",
        tmp_path / "home" / ".terraform.d" / "plugins",
        tmp_path / "data" / "terraform" / "plugins",
        tmp_path / "share" / "terraform" / "plugins",
        tmp_path / "opt" / "plugins",
    ]
    for place in reversed(places):
        put(place, AWS, "5.1.0")
        assert find(machine).mirrors == {AWS.source: place}


def test_each_provider_is_taken_from_the_first_mirror_that_has_it(find: Find, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    put(first, RANDOM, "3.7.0")
    put(put(second, AWS, "5.100.0"), RANDOM, "3.6.0")
    machine = isolated_machine(tmp_path, TF_PROVIDER_MIRROR=f"{first}{os.pathsep}{second}")
    assert find(machine, AWS, RANDOM).mirrors == {AWS.source: second, RANDOM.source: first}


def test_a_mirror_without_a_version_or_platform_that_fits_is_passed_over(find: Find, tmp_path: Path) -> None:
    newer, other, right = (tmp_path / name for name in ("newer", "other", "right"))
    put(newer, AWS, "6.2.0")
    put(other, AWS, "5.100.0", platform="darwin_arm64")
    put(right, AWS, "5.99.1")
    machine = isolated_machine(tmp_path, TF_PROVIDER_MIRROR=os.pathsep.join(map(str, (newer, other, right))))
    assert find(machine).mirrors == {AWS.source: right}


def test_packed_providers_count_too(find: Find, tmp_path: Path) -> None:
    folder = tmp_path / "opt" / "packed" / AWS.source
    folder.mkdir(parents=True)
    (folder / "terraform-provider-aws_5.31.0_darwin_arm64.zip").touch()
    with pytest.raises(OperationError):
        find(isolated_machine(tmp_path))
    (folder / "terraform-provider-aws_5.31.0_linux_amd64.zip").touch()
    assert find(isolated_machine(tmp_path)).mirrors == {AWS.source: tmp_path / "opt" / "packed"}


def test_a_provider_that_no_mirror_has_comes_from_the_registry_when_it_answers(find: Find, tmp_path: Path) -> None:
    found = find(isolated_machine(tmp_path, registry=True), AWS, ARCHIVE)
    assert (found.mirrors, found.notices) == ({}, [])


def test_the_registry_is_not_asked_when_every_provider_is_in_a_mirror(find: Find, tmp_path: Path) -> None:
    put(tmp_path / "opt" / "plugins", AWS, "5.100.0")
    given = isolated_machine(tmp_path)

    def ask() -> bool:
        raise AssertionError("the registry was asked")

    machine = Machine(environ=given.environ, opt=given.opt, registry_answers=ask)
    assert find(machine).mirrors == {AWS.source: tmp_path / "opt" / "plugins"}


def test_archive_and_random_fall_back_to_stand_ins_aloud(find: Find, tmp_path: Path) -> None:
    found = find(isolated_machine(tmp_path), ARCHIVE, RANDOM)
    assert found.mirrors == {ARCHIVE.source: tmp_path / "run", RANDOM.source: tmp_path / "run"}
    assert found.notices == [
        "Terraform provider hashicorp/archive ~> 2.4 is in no mirror here and registry.terraform.io does not answer: "
        "a stand-in takes its place, which offers archive_file only.",
        "Terraform provider hashicorp/random ~> 3.6 is in no mirror here and registry.terraform.io does not answer: "
        "a stand-in takes its place, which offers random_password only.",
    ]
    launcher = tmp_path / "run" / ARCHIVE.source / "2.99.0" / PLATFORM / "terraform-provider-archive_v2.99.0"
    assert os.access(launcher, os.X_OK)


def test_a_stand_in_does_not_pretend_to_be_a_version_that_it_is_not(find: Find, tmp_path: Path) -> None:
    with pytest.raises(OperationError, match=r"hashicorp/archive 2\.7\.1 for linux_amd64"):
        find(isolated_machine(tmp_path), Requirement(ARCHIVE.source, "2.7.1"))


def test_aws_that_is_nowhere_is_an_error_that_names_where_it_looked(find: Find, tmp_path: Path) -> None:
    newer = put(tmp_path / "newer", AWS, "6.2.0")
    (tmp_path / "opt" / "plugins" / "registry.terraform.io").mkdir(parents=True)
    with pytest.raises(OperationError) as caught:
        find(isolated_machine(tmp_path, TF_PROVIDER_MIRROR=str(newer)))
    assert caught.value.message == (
        "Terraform provider hashicorp/aws ~> 5.0 for linux_amd64 is in no mirror directory, "
        "and registry.terraform.io does not answer"
    )
    assert "TF_PROVIDER_MIRROR" in caught.value.hint
    assert caught.value.hint.endswith(f"looked in {newer} (has only 6.2.0), {tmp_path / 'opt' / 'plugins'}")


def test_a_named_mirror_that_does_not_exist_is_mentioned(find: Find, tmp_path: Path) -> None:
    put(tmp_path / "opt" / "plugins", AWS, "5.100.0")
    found = find(isolated_machine(tmp_path, TF_PROVIDER_MIRROR=str(tmp_path / "gone")))
    assert found.notices == [f"TF_PROVIDER_MIRROR names {tmp_path / 'gone'}, which is not a directory."]


def test_the_users_configuration_comes_first_where_it_gives_a_provider(find: Find, tmp_path: Path) -> None:
    machine = isolated_machine(tmp_path, registry=True)
    configuration = machine.home / ".terraformrc"
    configuration.write_text('provider_installation {\n  filesystem_mirror {\n    path = "/somewhere"\n  }\n}\n')
    put(tmp_path / "opt" / "plugins", AWS, "5.100.0")
    asked = []

    def by_user(requirement: Requirement, path: Path) -> Path | None:
        asked.append((requirement.name, path))
        return tmp_path / "users" if requirement == RANDOM else None

    found = find(machine, AWS, ARCHIVE, RANDOM, by_user=by_user)
    assert asked == [(name, configuration) for name in ("aws", "archive", "random")]
    assert found.mirrors == {
        RANDOM.source: tmp_path / "users",
        AWS.source: tmp_path / "opt" / "plugins",
        ARCHIVE.source: tmp_path / "run",  # their configuration decides about the registry: not asked behind its back
    }
    assert found.notices == [
        f"Terraform provider hashicorp/archive ~> 2.4 is in no mirror here and {configuration} does not give it: "
        "a stand-in takes its place, which offers archive_file only."
    ]


def test_a_configuration_file_that_is_named_but_missing_counts_as_none(find: Find, tmp_path: Path) -> None:
    machine = isolated_machine(tmp_path, registry=True, TF_CLI_CONFIG_FILE=str(tmp_path / "missing.rc"))
    (machine.home / ".terraformrc").write_text("provider_installation {\n}\n")
    assert find(machine).mirrors == {}


def test_a_commented_out_installation_block_rules_nothing(find: Find, tmp_path: Path) -> None:
    machine = isolated_machine(tmp_path, registry=True)
    (machine.home / ".terraformrc").write_text("# provider_installation {\n# }\ndisable_checkpoint = true\n")
    assert find(machine).mirrors == {}


def test_providers_under_development_keep_the_users_own_file(find: Find, tmp_path: Path) -> None:
    machine = isolated_machine(tmp_path)
    configuration = machine.home / ".terraformrc"
    configuration.write_text('provider_installation {\n  dev_overrides {\n    "hashicorp/aws" = "/src"\n  }\n}\n')
    found = find(machine)
    assert found.user_file == configuration
    assert found.notices == [f"Providers come from {configuration} only, because it has dev_overrides."]


def test_the_plugin_cache_is_filled_only_when_nothing_comes_from_a_mirror(find: Find, tmp_path: Path) -> None:
    machine = isolated_machine(tmp_path, registry=True)
    cache = machine.home / "cache"
    cache.mkdir()
    (machine.home / ".terraformrc").write_text('plugin_cache_dir = "$HOME/cache"\n')
    assert find(machine, AWS, RANDOM).cache == cache
    put(cache, RANDOM, "3.7.0")
    found = find(machine, AWS, RANDOM)
    assert (found.mirrors, found.cache) == ({RANDOM.source: cache}, None)


def test_the_written_configuration_gives_every_provider_one_source() -> None:
    text = Installation(
        mirrors={AWS.source: Path("/a b"), ARCHIVE.source: Path("/run"), RANDOM.source: Path("/run")}
    ).cli_configuration()
    assert text == (
        "disable_checkpoint = true\n"
        "provider_installation {\n"
        "  filesystem_mirror {\n"
        '    path    = "/a b"\n'
        '    include = ["registry.terraform.io/hashicorp/aws"]\n'
        "  }\n"
        "  filesystem_mirror {\n"
        '    path    = "/run"\n'
        '    include = ["registry.terraform.io/hashicorp/archive", "registry.terraform.io/hashicorp/random"]\n'
        "  }\n"
        "  direct {\n"
        '    exclude = ["registry.terraform.io/hashicorp/aws", "registry.terraform.io/hashicorp/archive", '
        '"registry.terraform.io/hashicorp/random"]\n'
        "  }\n"
        "}\n"
    )


@pytest.mark.parametrize(
    "required_providers",
    [
        {"aws": {"source": "hashicorp/aws", "version": "~> 5.0"}, "random": {"source": "random"}},
        [{"aws": {"source": "aws", "version": "~> 5.0"}}, {"random": {}}],
        {"aws": "~> 5.0", "random": {"source": "registry.terraform.io/hashicorp/random"}},
    ],
)
def test_requirements_are_read_however_json_writes_the_block(tmp_path: Path, required_providers: Any) -> None:
    document = {"terraform": {"required_providers": required_providers}, "output": {}}
    (tmp_path / "cdk.tf.json").write_text(json.dumps(document))
    (tmp_path / "broken.tf.json").write_text("{")
    assert requirements(tmp_path) == [AWS, Requirement(RANDOM.source)]


@pytest.mark.parametrize(
    ("constraint", "taken", "refused"),
    [
        ("", ["5.0.0", "6.1.2"], []),
        ("~> 5.0", ["5.0.0", "5.100.0"], ["4.67.0", "6.0.0"]),
        ("~> 5.31.2", ["5.31.2", "5.31.9"], ["5.31.1", "5.32.0"]),
        (">= 5.0, < 5.50, != 5.49.0", ["5.0.0", "5.48.3"], ["5.49.0", "5.50.0", "4.9.9"]),
        ("5.100.0", ["5.100.0"], ["5.99.1"]),
        ("> 2, <= 2.7.1", ["2.0.1", "2.7.1"], ["2.0.0", "2.7.2"]),
        ("~> 5.0-beta1", ["1.0.0"], []),  # beyond us: Terraform decides
    ],
)
def test_constraints_are_understood_as_terraform_does(constraint: str, taken: list[str], refused: list[str]) -> None:
    assert [each for each in taken + refused if satisfies(each, constraint)] == taken


class Registry(http.server.BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature of http.server
        pass


@pytest.mark.parametrize(("body", "answers"), [(b'{"providers.v1": "/v1/"}', True), (b"<html>log in</html>", False)])
def test_only_a_registry_counts_as_an_answer(monkeypatch: pytest.MonkeyPatch, body: bytes, answers: bool) -> None:
    monkeypatch.setattr(Registry, "body", body)
    urlopen = urllib.request.urlopen
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(urllib.request, "urlopen", lambda *_, timeout: urlopen(address, timeout=timeout))
        assert provider_sources.registry_answers() is answers
        server.shutdown()


@pytest.mark.parametrize(
    ("reason", "answers"),
    [(OSError("no route to host"), False), (ssl.SSLCertVerificationError("unknown authority"), True)],
)
def test_a_certificate_that_only_python_distrusts_is_left_to_terraform(
    monkeypatch: pytest.MonkeyPatch, reason: OSError, answers: bool
) -> None:
    def fail(url: str, timeout: float) -> None:
        raise urllib.error.URLError(reason)

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    assert provider_sources.registry_answers() is answers


def test_a_registry_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(*_: Any, **__: Any) -> None:
        released.wait()
        raise OSError("timed out")

    monkeypatch.setattr(provider_sources, "_REGISTRY_SECONDS", 0.05)
    monkeypatch.setattr(urllib.request, "urlopen", hang)
    assert provider_sources.registry_answers() is False
    released.set()
