"""Finds a source on this machine for each provider that a configuration requires.

The first hit for each provider counts, in this order: the user's own CLI configuration, the mirrors in
TF_PROVIDER_MIRROR, the mirror directories that Terraform searches by itself, a ``*/registry.terraform.io`` tree under
/opt, the registry, and the caller's stand-ins. Terraform then gets a CLI configuration for the run, in which every
provider has exactly one source
(https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation).
"""

import json
import os
import re
import ssl
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any, Protocol

from payment_dr.operations.errors import OperationError

REGISTRY = "registry.terraform.io"
MIRROR_VARIABLE = "TF_PROVIDER_MIRROR"
_REGISTRY_SECONDS = 3.0


def registry_answers() -> bool:
    """Whether the Terraform registry is reachable from here, within three seconds."""
    answered = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(
                f"https://{REGISTRY}/.well-known/terraform.json", timeout=_REGISTRY_SECONDS
            ) as reply:
                if "providers.v1" in json.load(reply):
                    answered.set()
        except urllib.error.URLError as error:
            # Python and Terraform may trust different certificates: it is there, let Terraform judge.
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                answered.set()
        except (OSError, ValueError):  # no registry at the other end
            pass

    # A thread, because the time-out of a request does not bound looking up the name.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_REGISTRY_SECONDS)
    return answered.is_set()


@dataclass(frozen=True)
class Machine:
    """The machine that the search depends on. A test passes its own.

    Attributes:
        environ: Environment of the user: HOME, TF_CLI_CONFIG_FILE, TF_PROVIDER_MIRROR, XDG_*.
        opt: Directory whose ``*/registry.terraform.io`` trees are searched.
        registry_answers: Whether the registry can be reached.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    opt: Path = Path("/opt")
    registry_answers: Callable[[], bool] = registry_answers

    @property
    def home(self) -> Path:
        """The user's home directory."""
        return Path(self.environ.get("HOME") or Path.home())


class StandIns(Protocol):
    """Packages that can replace providers that are not available.

    Attributes:
        VERSIONS: The version of each stand-in, by the address of the provider.
        OFFERS: The features of the real provider that each one has, by the same address.
    """

    VERSIONS: Mapping[str, str]
    OFFERS: Mapping[str, str]

    def install(self, source: str, mirror: Path, platform: str) -> None:
        """Put the stand-in for a provider into a mirror directory."""


@dataclass(frozen=True)
class Requirement:
    """A provider that a configuration requires.

    Attributes:
        source: Full address, such as ``registry.terraform.io/hashicorp/aws``.
        constraint: Version constraint in Terraform's syntax. Empty: any version.
    """

    source: str
    constraint: str = ""

    @property
    def name(self) -> str:
        """The provider's type, such as ``aws``."""
        return self.source.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return f"{self.source.removeprefix(f'{REGISTRY}/')} {self.constraint}".rstrip()


def requirements(directory: Path) -> list[Requirement]:
    """Read the ``required_providers`` of a synthesized configuration (``*.tf.json``).

    A file that is not valid JSON is left for Terraform to report.
    """
    found: dict[str, Requirement] = {}
    for path in sorted(directory.glob("*.tf.json")):
        try:
            document = json.loads(path.read_text())
        except ValueError:
            continue
        for root in _blocks(document):
            for settings in _blocks(root.get("terraform")):
                for block in _blocks(settings.get("required_providers")):
                    for name, value in block.items():
                        each = _requirement(name, value)
                        found[each.source] = each
    return list(found.values())


def _blocks(value: Any) -> list[dict[str, Any]]:
    """JSON configuration writes a block as an object or as a list of objects."""
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]


def _requirement(name: str, value: Any) -> Requirement:
    entry = value if isinstance(value, dict) else {"version": value}
    *prefix, kind = str(entry.get("source") or name).split("/")
    namespace = prefix.pop() if prefix else "hashicorp"
    host = prefix.pop() if prefix else REGISTRY
    return Requirement(f"{host}/{namespace}/{kind}", str(entry.get("version") or ""))


_PART = re.compile(r"(=|!=|>=|<=|>|<|~>)?\s*v?(\d+(?:\.\d+){0,2})")


def satisfies(version: str, constraint: str) -> bool:
    """Whether Terraform would accept a version. True for a text that this cannot parse: Terraform decides then.

    Example:
        >>> satisfies("5.100.0", "~> 5.0"), satisfies("6.2.0", "~> 5.0")
        (True, False)
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        return True
    have = _numbers(version)
    for part in filter(None, map(str.strip, constraint.split(","))):
        match = _PART.fullmatch(part)
        if match is None:
            return True
        operator, text = match[1] or "=", match[2]
        want = _numbers(text)
        upper = [*want[: max(1, text.count("."))]]
        upper[-1] += 1
        holds = {
            "=": have == want,
            "!=": have != want,
            ">": have > want,
            ">=": have >= want,
            "<": have < want,
            "<=": have <= want,
            "~>": have >= want and have < tuple(upper),
        }
        if not holds[operator]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    numbers = tuple(map(int, version.split(".")))
    return numbers + (0,) * (3 - len(numbers))


def versions(mirror: Path, requirement: Requirement, platform: str) -> list[str]:
    """List the versions of a provider that a mirror directory holds for a platform, packed or unpacked."""
    folder = mirror / requirement.source
    packed = re.compile(rf"terraform-provider-{re.escape(requirement.name)}_(.+)_{re.escape(platform)}\.zip")
    unpacked = (each.parent for each in folder.glob(f"*/{platform}/terraform-provider-{requirement.name}*"))
    names = (packed.fullmatch(each.name) for each in folder.glob("*.zip"))
    return sorted({each.parent.name for each in unpacked} | {match[1] for match in names if match})


@dataclass(frozen=True)
class UserConfiguration:
    """The CLI configuration that the user's own Terraform runs read."""

    path: Path
    text: str

    @property
    def rules_installation(self) -> bool:
        """Whether it sets the source of providers. It then also decides whether to use the registry."""
        return re.search(r"^\s*provider_installation\s*\{", self.text, re.MULTILINE) is not None

    @property
    def overrides_providers(self) -> bool:
        """Whether it uses a provider under development, which works with this very file only."""
        return self.rules_installation and re.search(r"^\s*dev_overrides\s*\{", self.text, re.MULTILINE) is not None


def user_configuration(machine: Machine) -> UserConfiguration | None:
    """Read the user's CLI configuration. None without one, or if the file does not exist."""
    named = machine.environ.get("TF_CLI_CONFIG_FILE")
    path = Path(named) if named else machine.home / ".terraformrc"
    return UserConfiguration(path, path.read_text()) if path.is_file() else None


def plugin_cache(machine: Machine, configuration: UserConfiguration | None) -> Path | None:
    """Return the user's plugin cache directory, which has the layout of a mirror."""
    named = machine.environ.get("TF_PLUGIN_CACHE_DIR")
    if not named and configuration:
        match = re.search(r'^\s*plugin_cache_dir\s*=\s*"([^"]+)"', configuration.text, re.MULTILINE)
        named = match and Template(match[1]).safe_substitute(machine.environ)
    path = Path(named) if named else None
    return path if path and path.is_dir() else None


def named_mirrors(machine: Machine) -> list[Path]:
    """Return the directories in TF_PROVIDER_MIRROR, whether they exist or not."""
    return [Path(each).absolute() for each in machine.environ.get(MIRROR_VARIABLE, "").split(os.pathsep) if each]


def mirrors(machine: Machine, directory: Path) -> Iterator[Path]:
    """Yield the mirror directories that exist, the user's own first."""
    environ, home = machine.environ, machine.home
    cache = plugin_cache(machine, user_configuration(machine))
    named = named_mirrors(machine)
    # https://developer.hashicorp.com/terraform/cli/config/config-file#implied-local-mirror-directories
    if sys.platform == "darwin":
        shared = [home / "Library/Application Support/io.terraform", Path("/Library/Application Support/io.terraform")]
    else:
        data_dirs = environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
        data_home = Path(environ.get("XDG_DATA_HOME") or home / ".local/share")
        shared = [each / "terraform" for each in (data_home, *map(Path, data_dirs.split(":")))]
    implied = [directory / "terraform.d/plugins", home / ".terraform.d/plugins", *(each / "plugins" for each in shared)]
    trees = [each.parent for each in sorted(machine.opt.glob(f"*/{REGISTRY}"))]
    yield from (
        each for each in dict.fromkeys([*([cache] if cache else []), *named, *implied, *trees]) if each.is_dir()
    )


@dataclass
class Installation:
    """The source of every provider of a run.

    Attributes:
        mirrors: Mirror directory by provider address.
        notices: Notices for the user, one sentence each.
        cache: The user's plugin cache, for downloads. None when a provider comes from a mirror, because Terraform would
            put links to the mirror into the cache.
        user_file: The user's CLI configuration if it must be used unchanged. Then nothing else here counts.
    """

    mirrors: dict[str, Path] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    cache: Path | None = None
    user_file: Path | None = None

    def cli_configuration(self) -> str:
        """Return the text of the run's own CLI configuration."""
        by_path: dict[Path, list[str]] = {}
        for source, path in self.mirrors.items():
            by_path.setdefault(path, []).append(source)
        blocks = [
            f"  filesystem_mirror {{\n    path    = {json.dumps(str(path))}\n    include = {json.dumps(served)}\n  }}\n"
            for path, served in by_path.items()
        ]
        blocks.append(f"  direct {{\n    exclude = {json.dumps(list(self.mirrors))}\n  }}\n")
        return f"disable_checkpoint = true\nprovider_installation {{\n{''.join(blocks)}}}\n"


def locate(
    required: Sequence[Requirement],
    *,
    directory: Path,
    run: Path,
    platform: str,
    machine: Machine,
    by_user_configuration: Callable[[Requirement, Path], Path | None],
    stand_ins: StandIns | None = None,
) -> Installation:
    """Find a source for every provider that a configuration requires.

    Args:
        required: The providers.
        directory: Working directory of Terraform.
        run: Directory of the run's own, for the stand-ins.
        platform: Terraform's name of this platform, such as ``linux_amd64``.
        machine: The machine to search.
        by_user_configuration: Installs a provider according to the given CLI configuration file and returns the
            directory that then mirrors it, or None.
        stand_ins: Replacements for providers that are not available. Default: none.

    Raises:
        OperationError: A provider is not available.
    """
    configuration = user_configuration(machine)
    if configuration and configuration.overrides_providers:
        notice = f"Providers come from {configuration.path} only, because it has dev_overrides."
        return Installation(user_file=configuration.path, notices=[notice])
    installation = Installation()
    installation.notices += (
        f"{MIRROR_VARIABLE} names {path}, which is not a directory."
        for path in named_mirrors(machine)
        if not path.is_dir()
    )
    candidates = list(mirrors(machine, directory))
    missing = []
    for each in required:
        place = None
        if configuration and configuration.rules_installation:
            place = by_user_configuration(each, configuration.path)
        place = place or next((path for path in candidates if _serves(path, each, platform)), None)
        if place:
            installation.mirrors[each.source] = place
        else:
            missing.append(each)

    ruled = configuration is not None and configuration.rules_installation
    if missing and (ruled or not machine.registry_answers()):
        why = f"{configuration.path} does not give it" if ruled and configuration else f"{REGISTRY} does not answer"
        for each in missing:
            offered = stand_ins.VERSIONS.get(each.source) if stand_ins else None
            if stand_ins is None or offered is None or not satisfies(offered, each.constraint):
                raise _nowhere(each, candidates, platform, why)
            stand_ins.install(each.source, run, platform)
            installation.mirrors[each.source] = run
            installation.notices.append(
                f"Terraform provider {each} is in no mirror here and {why}: "
                f"a stand-in takes its place, which offers {stand_ins.OFFERS[each.source]} only."
            )
    if not installation.mirrors:
        installation.cache = plugin_cache(machine, configuration)
    return installation


def _serves(mirror: Path, requirement: Requirement, platform: str) -> bool:
    return any(satisfies(each, requirement.constraint) for each in versions(mirror, requirement, platform))


def _nowhere(requirement: Requirement, looked_in: Sequence[Path], platform: str, why: str) -> OperationError:
    places = []
    for path in looked_in:
        others = versions(path, requirement, platform)
        places.append(f"{path} (has only {', '.join(others)})" if others else str(path))
    return OperationError(
        f"Terraform provider {requirement} for {platform} is in no mirror directory, and {why}",
        hint=f"set {MIRROR_VARIABLE} to a mirror ('terraform providers mirror DIR' makes one where there is network); "
        f"looked in {', '.join(places) or 'no directory, none of the usual ones exists'}",
    )
