"""The cost of the health handler in addition to its one call of DynamoDB."""

import io
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3

from benchmarks.compare import Comparison, in_turns, python

_CALLS = 200
_BARE = "import boto3; boto3.client('dynamodb').describe_table(TableName='transactions')\n"
_HANDLER = "from handlers.lambda_health_monitor import handler; assert handler({}, None)['status'] == 'healthy'\n"


class _Table(BaseHTTPRequestHandler):
    """DynamoDB with one active table."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"Table": {"TableName": "transactions", "TableStatus": "ACTIVE"}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _dynamodb() -> Iterator[dict[str, str]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Table) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
                "AWS_ACCESS_KEY_ID": "bench",
                "AWS_SECRET_ACCESS_KEY": "bench",
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "DYNAMODB_TABLE_NAME": "transactions",
                "SNS_TOPIC_ARN": "arn:aws:sns:us-east-1:111122223333:alerts",
            }
        finally:
            server.shutdown()


def _milliseconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


def compare(runs: int) -> Iterator[Comparison]:
    """Compare the handler with the bare call, in fresh processes and warm.

    Args:
        runs: The number of runs of each side, each in its own process.
    """
    with _dynamodb() as settings:
        environment = {**os.environ, **settings}
        runs *= 4  # they are short, so other load on the machine weighs more
        ours, bare = in_turns([python(_HANDLER, environment), python(_BARE, environment)], runs)
        yield Comparison(
            "health handler, import and first answer",
            "the handler",
            "a bare boto3 client and call",
            "ms",
            1000 * ours.seconds,
            1000 * bare.seconds,
            runs,
            target=1.10,
        )
        os.environ |= settings
        from handlers.lambda_health_monitor import handler

        table = boto3.client("dynamodb")
        probe = {"requestContext": {"http": {"method": "GET"}}}
        with redirect_stdout(io.StringIO()):  # the handler's log
            warm = [
                (
                    _milliseconds(lambda: handler(probe, None)),
                    _milliseconds(lambda: table.describe_table(TableName="transactions")),
                )
                for _ in range(_CALLS + 20)
            ][20:]
        yield Comparison(
            "health handler, warm",
            "the handler",
            "the bare describe_table call",
            "ms",
            statistics.median(each[0] for each in warm),
            statistics.median(each[1] for each in warm),
            _CALLS,
            target=1.15,
        )
