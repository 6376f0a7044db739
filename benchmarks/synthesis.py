"""The duration of synthesis, and the cost of its parts."""

import os
from collections.abc import Iterator

from benchmarks.compare import Comparison, in_turns, python
from payment_dr.operations.owned_directory import OwnedDirectory

_MAIN = "import runpy; runpy.run_path('main.py', run_name='__main__')\n"
# An import of one class of the prebuilt provider loads all of it, unless something prevented that before.
_EAGER = "import cdktf_cdktf_provider_aws\n"
_STACKS = """
from payment_dr import App, DisasterRecoveryStack
app = App()
for number in range({count}):
    DisasterRecoveryStack(app, f"payment-{{number}}")
app.synth()
"""


def compare(runs: int) -> Iterator[Comparison]:
    """Compare synthesis with the eager import, with the import alone, and with more stacks.

    Args:
        runs: The number of runs of each side.
    """
    with OwnedDirectory("bench-") as folder:
        environment = {**os.environ, "CDKTF_OUTDIR": folder}
        main, eager, load, ten, fifty = (
            python(code, environment)
            for code in (
                _MAIN,
                _EAGER + _MAIN,
                "import payment_dr.bindings\n",
                _STACKS.format(count=10),
                _STACKS.format(count=50),
            )
        )
        ours, baseline, base = in_turns([main, eager, load], runs)
        against = "the same with the whole AWS provider imported"
        yield Comparison(
            "synthesis, time", "python main.py", against, "s", ours.seconds, baseline.seconds, runs, target=0.25
        )
        yield Comparison(
            "synthesis, peak memory of Python",
            "python main.py",
            against,
            "MB",
            ours.peak_mb,
            baseline.peak_mb,
            runs,
            target=0.15,
        )
        yield Comparison(
            "our graph and synthesis",
            "python main.py",
            "an app that only loads the provider",
            "s",
            ours.seconds,
            base.seconds,
            runs,
            target=1.35,
        )
        many, few = in_turns([fifty, ten], runs)
        yield Comparison(
            "growth with stacks, time", "50 stacks", "10 stacks", "s", many.seconds, few.seconds, runs, target=5.5
        )
        yield Comparison(
            "growth with stacks, peak memory of Python",
            "50 stacks",
            "10 stacks",
            "MB",
            many.peak_mb,
            few.peak_mb,
            runs,
            target=5.5,
        )
