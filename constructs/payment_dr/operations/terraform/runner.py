"""Runs Terraform from a program: finds it and its providers, reports its progress, and stops it without leftovers.

Example:
    >>> with workspace(Path("cdktf.out/stacks/payment-dr")) as directory:  # doctest: +SKIP
    ...     with Terraform(directory, env={"AWS_ENDPOINT_URL": aws.endpoint_url}) as terraform:
    ...         terraform.init()
    ...         terraform.apply()
    ...         terraform.output()["dynamodb_table_name"].value
    'transactions'
"""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import gettempdir
from textwrap import shorten
from types import TracebackType
from typing import Any, Self

from payment_dr.operations.errors import OperationError
from payment_dr.operations.owned_directory import OwnedDirectory
from payment_dr.operations.terraform import provider_sources

OLDEST = (1, 5, 0)
BINARY_VARIABLE = "TERRAFORM_BINARY_NAME"  # cdktf's name for it too
INTERRUPT_SECONDS = 20.0

# Of the user's own environment: what makes Terraform talk, and what lets it into a private registry. Everything else
# that steers Terraform or names an AWS account stays outside: this run is not about the user's account.
_KEPT = ("TF_LOG", "TF_TOKEN_", "TF_REGISTRY_")
_SET_ASIDE = ("TF_", "AWS_")


@dataclass(frozen=True)
class Diagnostic:
    """An error or a warning of Terraform.

    Attributes:
        severity: ``error`` or ``warning``.
        summary: What is wrong, in short.
        detail: The explanation, possibly several lines.
        address: The resource concerned, or empty.
    """

    severity: str
    summary: str
    detail: str = ""
    address: str = ""

    def __str__(self) -> str:
        about = f" ({self.address})" if self.address else ""
        return f"{self.summary}{about}: {self.detail}" if self.detail else f"{self.summary}{about}"


class TerraformFailed(OperationError):  # noqa: N818 - named after what happened, as subprocess.TimeoutExpired is
    """A Terraform command ended with an error.

    Attributes:
        diagnostics: Everything that Terraform reported, warnings included.
    """

    def __init__(self, command: str, diagnostics: Sequence[Diagnostic], *, hint: str) -> None:
        errors = [each for each in diagnostics if each.severity == "error"]
        first = shorten(str(errors[0]), 400, placeholder=" ...") if errors else "it gave no reason"
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"terraform {command} failed: {first}{more}", hint=hint)
        self.diagnostics = tuple(diagnostics)


@dataclass(frozen=True)
class ResourceEvent:
    """Terraform began, continues or ended an action on one resource.

    Attributes:
        address: The resource, such as ``aws_dynamodb_table.transactions``.
        action: ``create``, ``read``, ``update``, ``delete`` or ``refresh``.
        phase: ``start``, ``progress``, ``complete`` or ``errored``.
        elapsed: Seconds since its start, whole.
    """

    address: str
    action: str
    phase: str
    elapsed: int


@dataclass(frozen=True)
class Changes:
    """Numbers of resources that an apply or a destroy changed."""

    add: int = 0
    change: int = 0
    remove: int = 0


@dataclass(frozen=True)
class PlanResult:
    """A plan.

    Attributes:
        changed: Whether applying it would change a resource or an output.
        actions: The resources to be changed: address to ``create``, ``update``, ``replace`` or ``delete``.
        outputs: The outputs to be changed: name to ``create``, ``update`` or ``delete``.
        path: The plan file, for ``apply``.
    """

    changed: bool
    actions: dict[str, str]
    outputs: dict[str, str]
    path: Path
    _show: Callable[[Path], dict[str, Any]]

    @cached_property
    def json(self) -> dict[str, Any]:
        """The whole plan in Terraform's JSON format, sensitive values included. Read at the first use."""
        return self._show(self.path)


@dataclass(frozen=True)
class Output:
    """A root output: its value, whether it is sensitive, and its type as Terraform writes types in JSON."""

    value: Any
    sensitive: bool
    type: Any


@dataclass(frozen=True)
class TerraformBinary:
    """A Terraform on this machine: where it is, its version, and its name for this platform (``linux_amd64``)."""

    path: str
    version: str
    platform: str


def find_terraform(environ: Mapping[str, str] | None = None) -> TerraformBinary:
    """Find Terraform 1.5 or newer.

    Args:
        environ: Environment with PATH, and TERRAFORM_BINARY_NAME where the program is not called ``terraform``.

    Raises:
        OperationError: Terraform is missing, does not run, or is too old.
    """
    environ = os.environ if environ is None else environ
    name = environ.get(BINARY_VARIABLE) or "terraform"
    hint = f"install Terraform 1.5 or newer, or set {BINARY_VARIABLE}"
    path = shutil.which(name, path=environ.get("PATH"))
    if path is None:
        raise OperationError(f"{name} is not on the PATH", hint=hint)
    quiet = {**environ, "CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull}
    try:
        reply = subprocess.run(
            [path, "version", "-json"], capture_output=True, text=True, env=quiet, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OperationError(f"{path} does not run: {error}", hint=hint) from error
    try:
        answer = json.loads(reply.stdout)
    except ValueError:  # before 0.13 there was no JSON
        match = re.search(r"v(\d+\.\d+\.\d+)", reply.stdout)
        answer = {"terraform_version": match[1] if match else "of unknown version"}
    version = str(answer.get("terraform_version", "of unknown version"))
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if match is None or tuple(map(int, match.groups())) < OLDEST or "platform" not in answer:
        raise OperationError(f"{path} is Terraform {version}, too old for this project", hint=hint)
    return TerraformBinary(path, version, answer["platform"])


@contextmanager
def workspace(stack_dir: Path) -> Iterator[Path]:
    """Copy a synthesized stack into a working directory of its own, which is removed at the end.

    Its state is in that directory, whatever the stack's backend is. A lock file or state beside the stack is not
    copied.

    Args:
        stack_dir: The output of ``cdktf synth``, such as ``cdktf.out/stacks/payment-dr``.

    Raises:
        OperationError: There is no synthesized stack.
    """
    if not any(stack_dir.glob("*.tf.json")):
        raise OperationError(f"{stack_dir} has no synthesized stack", hint="run 'cdktf synth' first")
    with OwnedDirectory("tfwork-") as folder:
        directory = Path(folder, "stack")
        shutil.copytree(
            stack_dir,
            directory,
            ignore=shutil.ignore_patterns(".terraform", ".terraform.lock.hcl", "*.tfstate", "*.tfstate.*"),
        )
        # https://developer.hashicorp.com/terraform/language/files/override: an override file replaces the backend.
        backend = {"terraform": {"backend": {"local": {"path": "terraform.tfstate"}}}}
        (directory / "backend_override.tf.json").write_text(json.dumps(backend))
        yield directory


class Terraform:
    """Terraform in one working directory. A context manager that removes the run's own files.

    It does not change the user's CLI configuration, plugin cache and AWS settings, and uses only their sources of
    providers: the child processes get the environment ``env``.

    Args:
        directory: Working directory with the configuration, see ``workspace``.
        env: Environment variables of the run, such as AWS_ENDPOINT_URL and credentials.
        variables: Values of the configuration's variables.
        on_event: Called with each step on a resource, for a progress display.
        machine: The machine to search for Terraform and providers.
        stand_ins: Replacements for providers that are not available. Default: none.

    Attributes:
        notices: Notices for the user, such as a stand-in provider. ``init`` fills them.

    Raises:
        OperationError: Terraform is missing or too old.
    """

    def __init__(
        self,
        directory: Path,
        env: Mapping[str, str],
        *,
        variables: Mapping[str, Any] | None = None,
        on_event: Callable[[ResourceEvent], None] | None = None,
        machine: provider_sources.Machine | None = None,
        stand_ins: provider_sources.StandIns | None = None,
    ) -> None:
        self._machine = machine or provider_sources.Machine()
        self._stand_ins = stand_ins
        self.binary = find_terraform(self._machine.environ)
        self.directory = directory.absolute()
        self.notices: list[str] = []
        self._on_event = on_event
        self._run_directory = OwnedDirectory("tfrun-", _short_temporary_directory())
        self._run = Path(self._run_directory.name)
        self._temporary = self._run / "t"
        self._temporary.mkdir()
        self._env = self._environment(env, variables or {})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run_directory.cleanup()

    def _environment(self, env: Mapping[str, str], variables: Mapping[str, Any]) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in self._machine.environ.items()
            if name.startswith(_KEPT) or not name.startswith(_SET_ASIDE)
        }
        if log := inherited.get("TF_LOG_PATH"):
            inherited["TF_LOG_PATH"] = str(Path(log).absolute())  # not relative to a directory that goes away
        return {
            "GOGC": "400",  # a third less work: providers build megabytes of schemas each time they are started
            **inherited,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            **env,
            **{f"TF_VAR_{k}": v if isinstance(v, str) else json.dumps(v) for k, v in variables.items()},
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "TF_CLI_CONFIG_FILE": os.devnull,
            "TMPDIR": str(self._temporary),  # sockets of providers that get killed go with the run
        }

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the child processes, for tools that start Terraform themselves. Complete after `init`."""
        return dict(self._env)

    def init(self) -> None:
        """Find the providers and initialize the working directory.

        Raises:
            OperationError: A provider is not available.
            TerraformFailed: Terraform could not initialize.
        """
        installation = provider_sources.locate(
            provider_sources.requirements(self.directory),
            directory=self.directory,
            run=self._run / "stand-ins",
            platform=self.binary.platform,
            machine=self._machine,
            by_user_configuration=self._install_as_the_user_does,
            stand_ins=self._stand_ins,
        )
        self.notices += installation.notices
        configuration = installation.user_file or self._run / "terraform.rc"
        if installation.user_file is None:
            configuration.write_text(installation.cli_configuration())
        self._env["TF_CLI_CONFIG_FILE"] = str(configuration)
        if installation.cache:
            self._env["TF_PLUGIN_CACHE_DIR"] = str(installation.cache)
            # There is no lock file to compare with: https://developer.hashicorp.com/terraform/cli/config/config-file
            self._env["TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE"] = "1"
        self._text("init", "-input=false", "-no-color")

    def _install_as_the_user_does(self, required: provider_sources.Requirement, configuration: Path) -> Path | None:
        """Let Terraform install one provider with the user's configuration, in the layout of a mirror."""
        probe = self._run / "probe" / required.name
        probe.mkdir(parents=True, exist_ok=True)
        wanted = {required.name: {"source": required.source, "version": required.constraint or ">= 0"}}
        (probe / "main.tf.json").write_text(json.dumps({"terraform": {"required_providers": wanted}}))
        env = {
            "TF_REGISTRY_DISCOVERY_RETRY": "0",
            "TF_REGISTRY_CLIENT_TIMEOUT": "5",
            **self._env,
            "TF_CLI_CONFIG_FILE": str(configuration),
        }
        arguments = [self.binary.path, "init", "-input=false", "-no-color", "-backend=false"]
        code, _, _ = self._follow(arguments, cwd=probe, env=env)
        return probe / ".terraform" / "providers" if code == 0 else None

    def validate(self) -> tuple[Diagnostic, ...]:
        """Check the configuration against the providers' schemas and return the warnings.

        Raises:
            TerraformFailed: The configuration is not valid.
        """
        code, text, errors = self._terraform("validate", "-no-color", "-json")
        try:
            found = [_diagnostic(each) for each in json.loads(text)["diagnostics"]]
        except (ValueError, KeyError):
            found = _diagnostics_in(errors)
        if code:
            raise _failed("validate", found)
        return tuple(found)

    def plan(self, out: Path | None = None, *, targets: Sequence[str] = (), refresh: bool = True) -> PlanResult:
        """Plan.

        Args:
            out: Path of the plan file. Default: a file of the run.
            targets: Addresses to plan, with their dependencies. Empty: everything.
            refresh: Compare the state with the deployed resources first.

        Raises:
            TerraformFailed: There is no plan.
        """
        path = (out or self._run / "plan").absolute()
        actions: dict[str, str] = {}
        outputs: dict[str, str] = {}

        def note(message: Mapping[str, Any]) -> None:
            if message["type"] == "planned_change":
                actions[message["change"]["resource"]["addr"]] = message["change"]["action"]
            elif message["type"] == "outputs":
                named = {name: each["action"] for name, each in message["outputs"].items()}
                outputs.update({name: action for name, action in named.items() if action != "noop"})

        options = _planning_options(targets, refresh=refresh)
        code = self._ui("plan", f"-out={path}", "-detailed-exitcode", *options, accept=(0, 2), on_message=note)
        return PlanResult(code == 2, actions, outputs, path, self._show)

    def text_of(self, plan: PlanResult) -> str:
        """Return a plan in Terraform's text format, with sensitive values hidden."""
        return self._text("show", "-no-color", str(plan.path))

    def state(self) -> dict[str, Any]:
        """Return the state, sensitive values included.

        Its form: https://developer.hashicorp.com/terraform/internals/json-format#state-representation
        """
        return self._show()

    def _show(self, *plan: Path) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self._text("show", "-no-color", "-json", *map(str, plan)))
        return shown

    def apply(self, plan: PlanResult | None = None, *, targets: Sequence[str] = (), refresh: bool = True) -> Changes:
        """Apply a plan, or the configuration as it is.

        Args:
            plan: A plan, which has its own targets.
            targets: Addresses to apply, with their dependencies. Empty: everything.
            refresh: Compare the state with the deployed resources first.

        Raises:
            TerraformFailed: Not everything could be applied. The state has the applied part.
        """
        return self._change("apply", *([str(plan.path)] if plan else _planning_options(targets, refresh=refresh)))

    def destroy(self, *, targets: Sequence[str] = (), refresh: bool = True) -> Changes:
        """Destroy all resources in the state.

        Args:
            targets: Addresses to destroy, with all resources that depend on them. Empty: everything.
            refresh: Compare the state with the deployed resources first.

        Raises:
            TerraformFailed: Resources are left. The state has them.
        """
        return self._change("destroy", *_planning_options(targets, refresh=refresh))

    def _change(self, command: str, *arguments: str) -> Changes:
        counts: dict[str, int] = {}

        def note(message: Mapping[str, Any]) -> None:
            if message["type"] == "change_summary":  # of the plan first, then of what was done
                counts.update({k: message["changes"][k] for k in ("add", "change", "remove")})

        self._ui(command, "-auto-approve", *arguments, on_message=note)
        return Changes(**counts)

    def output(self) -> dict[str, Output]:
        """Return the root outputs, sensitive values included.

        Raises:
            TerraformFailed: The state cannot be read.
        """
        answer = json.loads(self._text("output", "-no-color", "-json"))
        return {name: Output(each["value"], each["sensitive"], each["type"]) for name, each in answer.items()}

    def schemas(self) -> dict[str, Any]:
        """Return the schemas of the configuration's providers by the provider's name, such as ``aws``.

        Their form: https://developer.hashicorp.com/terraform/cli/commands/providers/schema

        Raises:
            TerraformFailed: The directory is not initialized, or a provider does not start.
        """
        answer = json.loads(self._text("providers", "schema", "-json"))
        return {source.split("/")[-1]: each for source, each in answer.get("provider_schemas", {}).items()}

    def formatted(self, text: str) -> str:
        """Return a file in Terraform's native syntax as ``terraform fmt`` lays it out.

        Raises:
            TerraformFailed: It cannot be parsed.
        """
        path = self._run / "formatted.tf"
        path.write_text(text, encoding="utf-8")
        self._text("fmt", "-no-color", str(path))
        return path.read_text(encoding="utf-8")

    def state_resources(self) -> list[str]:
        """List the addresses in the state, data sources included. Empty without a state.

        Raises:
            TerraformFailed: The state cannot be read.
        """
        code, text, errors = self._terraform("state", "list")
        if code and "No state file was found" not in errors:
            raise _failed("state list", _diagnostics_in(errors))
        return text.split()

    def _ui(
        self,
        command: str,
        *arguments: str,
        accept: Sequence[int] = (0,),
        on_message: Callable[[Mapping[str, Any]], None],
    ) -> int:
        # https://developer.hashicorp.com/terraform/internals/machine-readable-ui
        diagnostics: list[Diagnostic] = []

        def follow(line: str) -> None:
            try:
                message = json.loads(line)
            except ValueError:  # a panic, or a provider that prints
                return
            if message["type"] == "diagnostic":
                diagnostics.append(_diagnostic(message["diagnostic"]))
            elif self._on_event and (event := _event(message)):
                self._on_event(event)
            on_message(message)

        code, _, errors = self._terraform(command, "-input=false", "-no-color", "-json", *arguments, on_line=follow)
        if code not in accept:
            raise _failed(command, diagnostics or _diagnostics_in(errors), code)
        return code

    def _text(self, command: str, *arguments: str) -> str:
        code, text, errors = self._terraform(command, *arguments)
        if code:
            raise _failed(command, _diagnostics_in(errors))
        return text

    def _terraform(self, *arguments: str, on_line: Callable[[str], None] | None = None) -> tuple[int, str, str]:
        command = [self.binary.path, *arguments]
        return self._follow(command, cwd=self.directory, env=self._env, on_line=on_line)

    def _follow(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        on_line: Callable[[str], None] | None = None,
    ) -> tuple[int, str, str]:
        return _follow(
            command, cwd=cwd, env=env, errors=self._run / "stderr", lock=self._run_directory.lock, on_line=on_line
        )


def _planning_options(targets: Sequence[str], *, refresh: bool) -> list[str]:
    return [f"-target={address}" for address in targets] + ([] if refresh else ["-refresh=false"])


def _short_temporary_directory() -> str:
    """A directory for the sockets of providers, whose whole path may have 104 bytes (macOS) or 108 (Linux)."""
    usual = gettempdir()
    return usual if len(usual) <= 50 else "/tmp"  # noqa: S108 - for an OwnedDirectory


def _follow(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    errors: Path,
    lock: int,
    on_line: Callable[[str], None] | None = None,
) -> tuple[int, str, str]:
    """Run a command to its end and return exit code, stdout and stderr.

    It runs in a session of its own, so that Ctrl-C reaches it once, through this process. After an interrupt, it gets
    time to write its state. Then its whole process group is killed.
    """
    lines = []
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
            pass_fds=[lock],  # should this process be killed, Terraform still has its directory until it ends
        )
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    try:
        for line in process.stdout:
            lines.append(line)
            if on_line:
                on_line(line)
        process.wait()
    except BaseException:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=INTERRUPT_SECONDS)
        raise
    finally:
        with suppress(ProcessLookupError, PermissionError):  # nothing left, the usual case
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    return process.returncode, "".join(lines), errors.read_text()


def _event(message: Mapping[str, Any]) -> ResourceEvent | None:
    verb, _, phase = message["type"].partition("_")
    hook = message.get("hook", {})
    if verb not in ("apply", "refresh") or "resource" not in hook:
        return None
    action = hook.get("action", verb)
    return ResourceEvent(hook["resource"]["addr"], action, phase, int(hook.get("elapsed_seconds", 0)))


def _diagnostic(found: Mapping[str, Any]) -> Diagnostic:
    return Diagnostic(found["severity"], found["summary"], found.get("detail", ""), found.get("address", ""))


def _diagnostics_in(text: str) -> list[Diagnostic]:
    """Read diagnostics from Terraform's text output, where it has no JSON (init, state, show)."""
    plain = "\n".join(line.strip(" \t╷│╵") for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()).strip()
    _, *parts = re.split(r"^(Error|Warning): ", f"\n{plain}", flags=re.MULTILINE)
    if not parts:
        return [Diagnostic("error", plain)] if plain else []
    found = []
    for severity, body in zip(parts[::2], parts[1::2], strict=True):
        summary, _, detail = body.partition("\n\n")
        if not summary.startswith("Terraform encountered problems"):  # the heading above what the problems are
            found.append(Diagnostic(severity.lower(), " ".join(summary.split()), detail.strip()))
    return found


def _failed(command: str, diagnostics: Sequence[Diagnostic], code: int = 1) -> TerraformFailed:
    if code < 0:
        killed = Diagnostic("error", f"it was killed by {signal.Signals(-code).name}")
        hint = "its state may lack existing resources: see 'A deployment was interrupted' in docs/runbook.md"
        return TerraformFailed(command, [killed, *diagnostics], hint=hint)
    if command == "init":
        hint = f"if a provider is missing, set {provider_sources.MIRROR_VARIABLE} to a mirror directory that has it"
    else:
        hint = "set TF_LOG=debug and TF_LOG_PATH=FILE to see every call that Terraform and its providers made"
    return TerraformFailed(command, diagnostics, hint=hint)
