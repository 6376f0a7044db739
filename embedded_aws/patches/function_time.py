"""An API's answer contains the run time of the function behind it, from the function's own clock.

AWS: the access log of an API has the time that its integration took
(https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html), and Lambda reports a
function's duration without that of its start
(https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html).

ministack 1.5.33: writes no access log, and counts what starting the function's process takes as its duration.

Why it matters: a health checker gives an endpoint two seconds. On a busy machine a probe takes that long although the
function does not, and the health of an emulated region would depend on the speed of the machine. So the answer has a
header that AWS does not send, ``x-embedded-aws-function-seconds``. It is missing where no function has answered.
"""

from contextvars import ContextVar
from typing import Any

from ministack.core import lambda_runtime  # type: ignore[import-untyped]
from ministack.services import apigateway  # type: ignore[import-untyped]

from embedded_aws.server import FUNCTION_SECONDS

_CALL = "result = handler_fn(event, context)"
_ANSWER = '{"status": "ok", "result": result}'

_seconds: ContextVar[list[float] | None] = ContextVar("embedded_aws_function_seconds", default=None)


def apply() -> None:
    """Make functions time themselves, and add the time to answers."""
    script, run = lambda_runtime._PYTHON_WORKER_SCRIPT, lambda_runtime.Worker.invoke
    invoke_lambda_proxy = apigateway._invoke_lambda_proxy
    if not script.count(_CALL) == script.count(_ANSWER) == 1:
        raise RuntimeError("ministack calls functions in another way: adapt function_time")
    timed_call = f"_embedded_aws_began = time.monotonic(); {_CALL}"
    timed_answer = f'{_ANSWER[:-1]}, "seconds": time.monotonic() - _embedded_aws_began}}'
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(_CALL, timed_call).replace(_ANSWER, timed_answer)

    def run_timed(worker: Any, *args: Any, **kwargs: Any) -> Any:
        answer = run(worker, *args, **kwargs)
        if (seconds := _seconds.get()) is not None and "seconds" in answer:
            seconds.append(answer["seconds"])
        return answer

    async def invoke(*args: Any, **kwargs: Any) -> Any:
        seconds: list[float] = []
        token = _seconds.set(seconds)
        try:
            status, headers, body = await invoke_lambda_proxy(*args, **kwargs)
        finally:
            _seconds.reset(token)
        return status, {**headers, FUNCTION_SECONDS: f"{sum(seconds):.3f}"} if seconds else headers, body

    lambda_runtime.Worker.invoke = run_timed
    apigateway._invoke_lambda_proxy = invoke
