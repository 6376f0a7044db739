"""The synthesized stack, deployed by the real Terraform on an embedded AWS."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from embedded_aws import stand_in_providers
from embedded_aws.errors import EmbeddedAwsError
from embedded_aws.server import EmbeddedAws
from payment_dr.operations.terraform.runner import Changes, Output, PlanResult, ResourceEvent, Terraform, workspace
from payment_dr.side import Side

PROJECT = Path(__file__).resolve().parent.parent
STACK = "payment-dr"
# Those of the stack; cdktf.out says the same, but need not be there yet.
PROVIDERS = {"aws": "~> 5.0", "archive": "~> 2.0", "random": "~> 3.0"}

Step = Callable[[str], None]


@contextmanager
def synthesized(app: Path = PROJECT / "main.py", *, settings: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Synthesize an app into a temporary folder, which is removed at the end.

    Args:
        app: The Python program that synthesizes.
        settings: Variables of its environment, beside our own.

    Yields:
        The folder that cdktf calls cdktf.out.

    Raises:
        EmbeddedAwsError: The app refuses its settings or fails.
    """
    with tempfile.TemporaryDirectory(prefix="synth-") as folder:
        synth = subprocess.run(
            [sys.executable, str(app)],
            cwd=app.parent,
            env={**os.environ, **(settings or {}), "CDKTF_OUTDIR": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if synth.returncode:
            refused = re.search(r"^error: (.*)\nhint: (.*)", synth.stderr, re.MULTILINE | re.DOTALL)
            if refused:  # main.py names every mistake and the next move
                raise EmbeddedAwsError(refused[1], hint=refused[2].strip())
            last = [line for line in synth.stderr.strip().splitlines() if line] or ["it printed nothing"]
            raise EmbeddedAwsError(
                f"synthesis failed: {last[-1]}", hint=f"run 'python {app.name}' to see all that it says"
            )
        yield Path(folder)


@contextmanager
def provider_settings() -> Iterator[tuple[dict[str, str], list[str]]]:
    """Find the stack's providers for tools that start Terraform themselves, such as ``cdktf deploy``.

    Yields:
        The variables that tell Terraform where they are, valid until the end, and what the user should be told.

    Raises:
        EmbeddedAwsError: Terraform or a provider is nowhere to be had.
    """
    with tempfile.TemporaryDirectory(prefix="providers-") as folder:
        required = {name: {"source": f"hashicorp/{name}", "version": version} for name, version in PROVIDERS.items()}
        Path(folder, "versions.tf.json").write_text(json.dumps({"terraform": {"required_providers": required}}))
        with Terraform(Path(folder), {}, stand_ins=stand_in_providers) as terraform:
            terraform.init()
            found = {
                name: value
                for name, value in terraform.environment.items()
                if name.startswith(("TF_CLI_", "TF_PLUGIN"))
            }
            yield found, terraform.notices


class Deployment:
    """A stack on an embedded AWS; a context manager that leaves nothing behind.

    Args:
        variables: Values of the stack's Terraform variables.
        stack_dir: A synthesized stack. Default: this project's, synthesized anew.
        on_step: Told each step before it begins, for a progress display.
        on_event: Told what Terraform does to each resource.
        port: Port of the embedded AWS. Default: a free one.

    Attributes:
        aws: The embedded AWS.
        terraform: Terraform in the stack's working directory.
        seconds: How long each step took when it was first done, by name.

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
        self._variables = variables
        self._stack_dir = stack_dir
        self._on_step = on_step or (lambda _: None)
        self._on_event = on_event
        self._port = port
        self._outputs: dict[str, Output] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            stack_dir = self._stack_dir
            if stack_dir is None:
                with self.step("synth"):
                    stack_dir = opening.enter_context(synthesized()) / "stacks" / STACK
            with self.step("start the embedded AWS"):
                self.aws = opening.enter_context(EmbeddedAws(self._port))
            directory = opening.enter_context(workspace(stack_dir))
            self.terraform = opening.enter_context(
                Terraform(
                    directory,
                    self.aws.environment(),
                    variables=self._variables,
                    on_event=self._on_event,
                    stand_ins=stand_in_providers,
                )
            )
            with self.step("terraform init"):
                self.terraform.init()
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

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
        """Destroy all that is deployed."""
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
        """The regions that the stack's AWS providers deploy to, before and after that."""
        config = json.loads((self.terraform.directory / "cdk.tf.json").read_text(encoding="utf-8"))
        return [provider["region"] for provider in config["provider"]["aws"]]

    def region(self, side: Side) -> str:
        """The region that is "primary" or "secondary"."""
        region: str = self.value(f"{side}_region")
        return region

    def client(self, service: str, side: Side) -> Any:
        """A boto3 client of a service in the "primary" or "secondary" region, with the rights of the account's root."""
        return self.aws.client(service, self.region(side))
