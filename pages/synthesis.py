"""Synthesizes apps in this process, so that cdktf and the provider, which load slowly, load only once."""

import json
import runpy
from pathlib import Path
from typing import Any

import payment_dr
from payment_dr.operations.owned_directory import OwnedDirectory

PROJECT = Path(__file__).resolve().parent.parent
Template = dict[str, Any]


def stack_of(**props: Any) -> Template:
    """Synthesize the whole stack, as `template_of` does.

    Args:
        **props: Arguments of `DisasterRecoveryStack`.
    """
    with OwnedDirectory("synth-") as folder:
        app = payment_dr.App(outdir=folder)
        payment_dr.DisasterRecoveryStack(app, "payment-dr", **props)
        app.synth()
        return _read(folder)


def template_of(program: Path) -> Template:
    """Run a program that makes one app with one stack, and parse the stack that cdktf writes.

    Args:
        program: A Python file, run as ``python FILE`` runs it, with a temporary folder to write to.
    """
    original = payment_dr.App
    with OwnedDirectory("synth-") as folder:
        try:
            payment_dr.App = lambda: original(outdir=folder)  # type: ignore[misc, assignment]
            runpy.run_path(str(program), run_name="__main__")
        finally:
            payment_dr.App = original  # type: ignore[misc]
        return _read(folder)


def _read(folder: str) -> Template:
    (synthesized,) = Path(folder).glob("stacks/*/cdk.tf.json")
    template: Template = json.loads(synthesized.read_text(encoding="utf-8"))
    return template
