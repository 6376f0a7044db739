"""Functions call DynamoDB by a name of its region, which may not resolve.

AWS: a client resolves ``dynamodb.{region}.amazonaws.com`` to open a connection. On 2025-10-20 that name resolved to
nothing in us-east-1: no new connection could be opened, and those that were open went on
(https://aws.amazon.com/message/101925/).

ministack 1.5.33: functions call every service at ``http://127.0.0.1:{port}``, which needs no name.

Why it matters: the health function keeps its connection, so only resolving the name shows it what new clients meet.

A DynamoDB client of a Python function has the endpoint ``http://dynamodb.{region}.localhost:{port}`` here, unless the
function or its environment gives it one. Functions resolve it to the loopback address, until ``region_outage`` has a
fault of the kind ``unresolved`` for that region. Clients outside of functions still need no name.
"""

import os
from pathlib import Path

from ministack.core import lambda_runtime  # type: ignore[import-untyped]

from embedded_aws.patches import region_outage

_FILE = "unresolved-names"
_CALL = "    _ms_install_invoke_depth()\n    try:\n"
# Runs in the process of a function, before its module is imported.
_RESOLVER = f'''
def _embedded_aws_resolve_names():
    import os, socket
    from urllib.parse import urlsplit
    try:
        import botocore.client
    except ImportError:
        return
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    unresolved = os.path.join(os.environ.get("EMBEDDED_AWS_DIRECTORY", ""), "{_FILE}")
    create_client, getaddrinfo = botocore.client.ClientCreator.create_client, socket.getaddrinfo

    def create_named(creator, service_name, region_name, is_secure=True, endpoint_url=None, *args, **kwargs):
        is_given = endpoint_url is not None or "AWS_ENDPOINT_URL_DYNAMODB" in os.environ
        if service_name == "dynamodb" and not is_given and endpoint.startswith("http://127.0.0.1:"):
            endpoint_url = f"http://dynamodb.{{region_name}}.localhost:{{urlsplit(endpoint).port}}"
        return create_client(creator, service_name, region_name, is_secure, endpoint_url, *args, **kwargs)

    def resolve(host, *args, **kwargs):
        if isinstance(host, str) and host.startswith("dynamodb.") and host.endswith(".localhost"):
            try:
                with open(unresolved) as names:
                    is_gone = host in names.read().split()
            except FileNotFoundError:
                is_gone = False
            if is_gone:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            host = "127.0.0.1"
        return getaddrinfo(host, *args, **kwargs)

    botocore.client.ClientCreator.create_client, socket.getaddrinfo = create_named, resolve

'''


def apply() -> None:
    """Let functions call DynamoDB by its name."""
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if script.count(_CALL) != 1:
        raise RuntimeError("ministack starts functions in another way: adapt name_resolution")
    called = _CALL.replace("    try:\n", "    _embedded_aws_resolve_names()\n    try:\n")
    lambda_runtime._PYTHON_WORKER_SCRIPT = _RESOLVER + script.replace(_CALL, called)
    region_outage.on_change.append(_note_unresolved)


def _note_unresolved() -> None:
    """Write down, for the processes of functions, which names do not resolve."""
    directory = os.environ.get("EMBEDDED_AWS_DIRECTORY")
    names = [f"{service}.{region}.localhost" for region, service in region_outage.unresolved()]
    if directory:
        Path(directory, _FILE).write_text("\n".join(names), encoding="utf-8")
