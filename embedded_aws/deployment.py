"""The synthesized stack, deployed by the real Terraform on an embedded AWS."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from embedded_aws import stand_in_providers
from embedded_aws.errors import EmbeddedAwsError
from embedded_aws.server import EmbeddedAws, at_new_port
from payment_dr.operations.owned_directory import MARK, OwnedDirectory
from payment_dr.operations.terraform.runner import Changes, Output, PlanResult, ResourceEvent, Terraform, workspace
from payment_dr.side import Side

PROJECT = Path(__file__).resolve().parent.parent
STACK = "payment-dr"
ACCOUNT_SETTING = "PAYMENT_DR_ACCOUNT"  # of main.py; a user's own account is none of the embedded AWS
PRODUCTION_SETTINGS = {  # of main.py: the production preset, complete
    "PAYMENT_DR_PRODUCTION": "1",
    "PAYMENT_DR_RUNBOOK": "https://wiki.acme.io/payments-dr",
}
# Those of the stack; cdktf.out says the same, but need not be there yet.
PROVIDERS = {"aws": "~> 5.0", "archive": "~> 2.0", "random": "~> 3.0"}
LOCK_FILE = ".terraform.lock.hcl"
# The same for one that is changed in place and destroyed with its documents: see "Destroy" in docs/deploy.md.
UNPROTECTED_SETTINGS = {
    **PRODUCTION_SETTINGS,
    "PAYMENT_DR_DELETION_PROTECTION": "0",
    "PAYMENT_DR_FORCE_DESTROY": "1",
    "PAYMENT_DR_TWO_WAY_DOCUMENTS": "0",
}
VARIABLES = {"domain_name": "payment-app.test"}  # which has no default in a stack with a custom domain
PRODUCTION_VARIABLES = {**VARIABLES, "alert_email": "oncall@acme.io"}  # nor has this in the production preset

_LARGE_BYTES = 1_000_000
_TEMPORARY = ("tfwork-", "tfrun-")

Step = Callable[[str], None]


@contextmanager
def synthesized(app: Path = PROJECT / "main.py", *, settings: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Synthesize an app into a temporary folder, which is removed at the end.

    Args:
        app: The Python program that synthesizes.
        settings: Variables of its environment, beside this process's own.

    Yields:
        The folder cdktf.out.

    Raises:
        EmbeddedAwsError: The app rejects its settings or fails.
    """
    with OwnedDirectory("synth-") as folder:
        synth = subprocess.run(
            [sys.executable, str(app)],
            cwd=app.parent,
            env={**os.environ, ACCOUNT_SETTING: "", **(settings or {}), "CDKTF_OUTDIR": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if synth.returncode:
            refused = re.search(r"^error: (.*)\nhint: (.*)", synth.stderr, re.MULTILINE | re.DOTALL)
            if refused:  # main.py names every mistake and the next move
                raise EmbeddedAwsError(refused[1], hint=refused[2].strip())
            last = [line for line in synth.stderr.strip().splitlines() if line] or ["no message"]
            raise EmbeddedAwsError(
                f"synthesis failed: {last[-1]}", hint=f"run 'python {app.name}' to see its whole output"
            )
        yield Path(folder)


@contextmanager
def terraform_settings() -> Iterator[tuple[dict[str, str], list[str]]]:
    """Prepare for tools that synthesize and start Terraform themselves, such as ``cdktf deploy``.

    They get the stack's providers, and a folder of their own to synthesize into. Terraform keeps the state of a stack
    and the versions of its providers by folder, and those of a deployment on AWS must not change.

    Yields:
        The environment variables for these tools, valid until the end, and notices for the user.

    Raises:
        EmbeddedAwsError: Terraform or a provider is not available.
    """
    with OwnedDirectory("rehearsal-") as folder:
        out = Path(folder, "cdktf.out")
        stack = out / "stacks" / STACK
        stack.mkdir(parents=True)
        required = {name: {"source": f"hashicorp/{name}", "version": version} for name, version in PROVIDERS.items()}
        versions = stack / "versions.tf.json"
        versions.write_text(json.dumps({"terraform": {"required_providers": required}}))
        with Terraform(stack, {}, stand_ins=stand_in_providers) as terraform:
            terraform.init()
            versions.unlink()  # what remains is the lock file, without which cdktf would ask the registry
            found = {
                name: value
                for name, value in terraform.environment.items()
                if name.startswith(("TF_CLI_", "TF_PLUGIN"))
            }
            locked = (stack / LOCK_FILE).read_text()
            if any(f'"{version}"' in locked for version in stand_in_providers.VERSIONS.values()):
                found["TF_CLI_ARGS_init"] = "-lockfile=readonly"  # no stand-in gets into another folder's
            # The same for main.py and for the cdktf command line, which does not read the first one.
            yield {**found, "CDKTF_OUTDIR": str(out), "CDKTF_OUTPUT": str(out)}, terraform.notices


def _directories_of(terraform: Terraform) -> Iterator[Path]:
    """The places of one Terraform: the folder around its working directory, and that of its run."""
    for directory in (terraform.directory.parent, Path(terraform.environment["TMPDIR"]).parent):
        if directory.name.startswith(_TEMPORARY):  # never one that holds more than that
            yield directory


class _InitializedTerraform(Terraform):
    """Terraform that needs no ``init``, because it works in a copy of another's directory.

    An ``init`` takes longer than everything else in a branch. This copies its files instead, and changes the paths in
    them to those of the copy: stand-ins for providers are in the directory of a run and are removed with it.

    Args:
        origin: The other one, initialized, and not running.
        directory: The copy of its working directory.
        env: Environment variables of the run.
        variables: Values of the configuration's variables.
        on_event: Called with each step on a resource.
    """

    def __init__(
        self,
        origin: Terraform,
        directory: Path,
        env: Mapping[str, str],
        *,
        variables: Mapping[str, Any] | None = None,
        on_event: Callable[[ResourceEvent], None] | None = None,
    ) -> None:
        super().__init__(
            directory,
            env,
            variables=variables,
            on_event=on_event,
            machine=origin._machine,
            stand_ins=origin._stand_ins,
        )
        self.notices += origin.notices
        _forget_hashes(directory)
        self._there, self._here = str(origin._run), str(self._run)
        _copy_tree(origin._run, self._run, leave_out=("t", "plan", "stderr", MARK))
        for name, value in origin._env.items():
            if name == "TF_CLI_CONFIG_FILE" or name.startswith("TF_PLUGIN_CACHE_"):
                self._env[name] = self._moved(value)
        for path in [*self._run.rglob("*"), *(self.directory / ".terraform").rglob("*")]:
            if path.is_symlink():
                target = str(path.readlink())
                path.unlink()
                path.symlink_to(self._moved(target))
            elif path.is_file() and path.is_relative_to(self._run):
                content = path.read_bytes()
                if self._there.encode() in content:
                    path.write_bytes(content.replace(self._there.encode(), self._here.encode()))

    def _moved(self, text: str) -> str:
        return text.replace(self._there, self._here)


def _forget_hashes(directory: Path) -> None:
    """Remove the hashes of providers from the lock file of a working directory, which is of this run alone.

    Before each command, even ``output``, Terraform hashes the providers and compares: 0.6 s for the 700 MB of the AWS
    provider. It compares nothing where the lock file has no hash (``providerFactories`` in
    https://github.com/hashicorp/terraform/blob/v1.11.4/internal/command/meta_providers.go).
    """
    lock = directory / LOCK_FILE
    if lock.exists():
        lock.write_text(re.sub(r"^  hashes = \[.*?\]\n", "", lock.read_text(), flags=re.DOTALL | re.MULTILINE))


def _copy_tree(source: Path, target: Path, *, leave_out: Sequence[str] = ()) -> None:
    """Copy a directory: links as links, and large programs, which never change, as hard links."""

    def copy(file: str, copied: str) -> None:
        if os.access(file, os.X_OK) and Path(file).stat().st_size > _LARGE_BYTES:
            with suppress(OSError):  # on another file system
                os.link(file, copied)
                return
        shutil.copy2(file, copied)

    ignore = shutil.ignore_patterns(*leave_out)
    shutil.copytree(source, target, symlinks=True, copy_function=copy, ignore=ignore, dirs_exist_ok=True)


class Deployment:
    """A stack on an embedded AWS. A context manager that leaves nothing behind.

    Args:
        variables: Values of the stack's Terraform variables, beyond `VARIABLES`.
        stack_dir: A synthesized stack. Default: synthesizes this project's.
        on_step: Called before each step, for a progress display.
        on_event: Called with each of Terraform's steps on a resource.
        port: Port of the embedded AWS. Default: a free one.

    Attributes:
        aws: The embedded AWS.
        terraform: Terraform in the stack's working directory.
        seconds: Duration of the first run of each step, by name.

    Raises:
        EmbeddedAwsError: A step failed.

    Example:
        >>> with Deployment() as deployment:  # doctest: +SKIP
        ...     deployment.apply()
        ...     deployment.value("application_fqdn")
        'app.payment-app.test'
    """

    aws: EmbeddedAws
    terraform: Terraform

    def __init__(
        self,
        *,
        variables: Mapping[str, Any] | None = None,
        stack_dir: Path | None = None,
        on_step: Step | None = None,
        on_event: Callable[[ResourceEvent], None] | None = None,
        port: int | None = None,
    ) -> None:
        self.seconds: dict[str, float] = {}
        self._variables = {**VARIABLES, **(variables or {})}
        self._stack_dir = stack_dir
        self._on_step = on_step or (lambda _: None)
        self._on_event = on_event
        self._port = port
        self._outputs: dict[str, Output] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            stack_dir, folder = self._stack_dir, None
            if stack_dir is None:
                with self.step("synth"):
                    folder = opening.enter_context(synthesized())
                    stack_dir = folder / "stacks" / STACK
            with self.step("start the embedded AWS"):
                self.aws = opening.enter_context(EmbeddedAws(self._port))
            directory = opening.enter_context(workspace(stack_dir))
            if _needs_alert_email(directory):
                self._variables = {**PRODUCTION_VARIABLES, **self._variables}
            self.terraform = opening.enter_context(
                Terraform(
                    directory,
                    self.aws.environment(),
                    variables=self._variables,
                    on_event=self._on_event,
                    stand_ins=stand_in_providers,
                )
            )
            for temporary in (folder, *_directories_of(self.terraform)):
                if temporary:
                    self.aws.take_along(temporary)
            with self.step("terraform init"):
                self.terraform.init()
                _forget_hashes(directory)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @contextmanager
    def branch(self, *, on_event: Callable[[ResourceEvent], None] | None = None) -> "Iterator[Deployment]":
        """Make a copy of this deployment, with its present state, within a second.

        Its AWS is a branch of this one's (see ``EmbeddedAws.branch``). Its Terraform has a copy of the working
        directory and the state, with the branch's address. Plan, apply and destroy work on the branch only, and this
        deployment may end before it.

        Terraform must not run on this one meanwhile: the state would be older or newer than the AWS. It may be stopped
        in the middle of a command, with its providers (SIGSTOP): the branch then has the state that a kill would leave,
        such as a truncated one.

        Args:
            on_event: Called with each step on a resource of the branch. Default: that of this one.

        Yields:
            The branch, until the end of the block.

        Raises:
            EmbeddedAwsError: The embedded AWS has ended, or its branch did not start.

        Example:
            >>> with deployment.branch() as branched:  # doctest: +SKIP
            ...     branched.destroy()
            ...     deployment.plan().changed
            False
        """
        branched = Deployment(variables=self._variables, on_step=self._on_step, on_event=on_event or self._on_event)
        with ExitStack() as opening:
            with branched.step("branch"):
                branched.aws = opening.enter_context(self.aws.branch())
                folder = opening.enter_context(OwnedDirectory("tfwork-"))
                directory = Path(folder, self.terraform.directory.name)
                _copy_tree(self.terraform.directory, directory)
                for state in directory.glob("*.tfstate*"):
                    text = state.read_text(encoding="utf-8", errors="surrogateescape")  # it may end within a character
                    moved = at_new_port(text, self.aws.port, branched.aws.port)
                    state.write_text(moved, encoding="utf-8", errors="surrogateescape")
                branched.terraform = opening.enter_context(
                    _InitializedTerraform(
                        self.terraform,
                        directory,
                        branched.aws.environment(),
                        variables=self._variables,
                        on_event=branched._on_event,
                    )
                )
                for temporary in _directories_of(branched.terraform):
                    branched.aws.take_along(temporary)
            yield branched

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce and time a step."""
        self._on_step(name)
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds.setdefault(name, time.monotonic() - started)

    def plan(self) -> PlanResult:
        """Plan against what is deployed."""
        with self.step("terraform plan"):
            return self.terraform.plan()

    def apply(self, plan: PlanResult | None = None) -> Changes:
        """Apply a plan, or plan and apply."""
        with self.step("terraform apply"):
            changes = self.terraform.apply(plan)
        self._outputs = None
        return changes

    def destroy(self) -> Changes:
        """Destroy all deployed resources."""
        with self.step("terraform destroy"):
            return self.terraform.destroy()

    @property
    def outputs(self) -> Mapping[str, Output]:
        """All outputs, read once after an apply."""
        if self._outputs is None:
            self._outputs = self.terraform.output()
        return self._outputs

    def value(self, output: str) -> Any:
        """The value of one output."""
        return self.outputs[output].value

    @property
    def regions(self) -> list[str]:
        """The regions that the stack's AWS providers deploy to, valid before and after the deployment."""
        config = json.loads((self.terraform.directory / "cdk.tf.json").read_text(encoding="utf-8"))
        return [provider["region"] for provider in config["provider"]["aws"]]

    def region(self, side: Side) -> str:
        """The region that is "primary" or "secondary"."""
        region: str = self.value(f"{side}_region")
        return region

    def client(self, service: str, side: Side) -> Any:
        """A boto3 client of a service in the "primary" or "secondary" region, with the rights of the account's root."""
        return self.aws.client(service, self.region(side))


def _needs_alert_email(directory: Path) -> bool:
    """Whether a synthesized stack has no default for the variable. `make hcl` writes the default stack."""
    file = directory / "cdk.tf.json"
    declared = json.loads(file.read_text(encoding="utf-8")).get("variable", {}) if file.exists() else {}
    return "alert_email" in declared and "default" not in declared["alert_email"]
