"""A function that has raised keeps what it has in memory.

AWS: the runtime reports the error and asks for the next event in the same environment
(https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html). Only a crash or a timeout resets the environment
(https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).

ministack 1.5.33: ends the process of a function that has raised, and starts another one for the next event.

Why it matters: what a function must forget after a failure, such as a session that has lost its rights, would be
forgotten here anyway. And starting a process is most of what a run takes.
"""

from typing import Any

from ministack.core import lambda_runtime  # type: ignore[import-untyped]

_ERROR = '{"status": "error", "error": str(e), "trace": traceback.format_exc()}'
_RAISED = '{"status": "ok", "raised": {"error": str(e), "trace": traceback.format_exc()}}'


def apply() -> None:
    """Have a worker report what the function has raised as an answer, and take it for an error once it is here."""
    script, run = lambda_runtime._PYTHON_WORKER_SCRIPT, lambda_runtime.Worker.invoke
    if script.count(_ERROR) != 1:
        raise RuntimeError("ministack reports errors in another way: function_exceptions has to follow")
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(_ERROR, _RAISED)

    def run_and_keep(worker: Any, *args: Any, **kwargs: Any) -> Any:
        answer = run(worker, *args, **kwargs)
        return {**answer, "status": "error", **answer["raised"]} if "raised" in answer else answer

    lambda_runtime.Worker.invoke = run_and_keep
