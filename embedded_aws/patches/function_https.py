"""Functions reach an HTTP API of the embedded AWS by its host on AWS.

AWS: an HTTP API is at ``https://{api}.execute-api.{region}.amazonaws.com``, for functions as for everybody
(https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-publish.html).

ministack 1.5.33: has APIs at ``http://{api}.execute-api.localhost:{port}``. A function that calls an API by its host on
AWS leaves the machine.

Why it matters: the health monitor of each region probes that of the other one.

A connection that a function opens with Python's ``http.client``, or a library on top of it, to such a host goes to this
emulator instead. The name is not resolved. There is no TLS, so no certificate is shown or checked, but the requests
count as sent over TLS (see ``secure_transport``). ``api_host`` makes the answer, and in a failed region
``region_outage``.
"""

from ministack.core import lambda_runtime  # type: ignore[import-untyped]

_CALL = "    _ms_install_invoke_depth()\n"
# Runs in the process of a function, before its module is imported.
_REDIRECTION = r"""
def _embedded_aws_redirect_https():
    import http.client, os, re, socket
    from urllib.parse import urlsplit
    connect = http.client.HTTPSConnection.connect

    def connect_here(connection):
        endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL", ""))
        is_api = re.fullmatch(r"[a-z0-9]+\.execute-api\.[a-z0-9-]+\.amazonaws\.com", connection.host)
        if is_api and endpoint.hostname == "127.0.0.1":
            connection.sock = socket.create_connection((endpoint.hostname, endpoint.port), connection.timeout)
        else:
            connect(connection)

    http.client.HTTPSConnection.connect = connect_here

"""


def apply() -> None:
    """Redirect the connections of functions."""
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if script.count(_CALL) != 1:
        raise RuntimeError("ministack starts functions in another way: adapt function_https")
    redirected = script.replace(_CALL, f"{_CALL}    _embedded_aws_redirect_https()\n")
    lambda_runtime._PYTHON_WORKER_SCRIPT = _REDIRECTION + redirected
