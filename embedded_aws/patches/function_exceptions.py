"""A function keeps its memory after an exception.

AWS: the runtime reports the error and asks for the next event in the same environment
(https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html). Only a crash or a timeout resets the environment
(https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).

ministack 1.5.33: ends the process of a function that has raised, and starts another one for the next event.

Why it matters: state that a function must drop after a failure, such as a session that has lost its rights, would
always be dropped here. And most of the time of a run goes into starting a process.
"""

from typing import Any

from ministack.core import lambda_runtime  # type: ignore[import-untyped]

_ERROR = '{"status": "error", "error": str(e), "trace": traceback.format_exc()}'
_RAISED = '{"status": "ok", "raised": {"error": str(e), "trace": traceback.format_exc()}}'


def apply() -> None:
    """Make a worker report an exception of the function as an answer, and convert it to an error here."""
    script, run = lambda_runtime._PYTHON_WORKER_SCRIPT, lambda_runtime.Worker.invoke
    if script.count(_ERROR) != 1:
        raise RuntimeError("ministack reports errors in another way: adapt function_exceptions")
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(_ERROR, _RAISED)

    def run_and_keep(worker: Any, *args: Any, **kwargs: Any) -> Any:
        answer = run(worker, *args, **kwargs)
        return {**answer, "status": "error", **answer["raised"]} if "raised" in answer else answer

    lambda_runtime.Worker.invoke = run_and_keep
