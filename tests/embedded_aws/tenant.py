"""An account of one test's own in an embedded AWS, with roles and functions to try rights with."""

import io
import itertools
import json
import socket
import textwrap
import time
import urllib.parse
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from embedded_aws import EmbeddedAws

T = TypeVar("T")

_account_ids = itertools.count(100_000_000_001)


def eventually(look: Callable[[], T], seconds: float = 60) -> T:
    """The first truthy answer, or the last one after the deadline."""
    deadline = time.monotonic() + seconds
    while not (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen


def allow(action: str | list[str], resource: str, condition: Mapping[str, Any] | None = None) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def unique(name: str) -> str:
    """A name that no other test uses, for tests in the account that unsigned requests belong to."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True)
class Role:
    aws: EmbeddedAws
    arn: str
    session_arn: str
    credentials: dict[str, str]

    def client(self, service: str, region: str = "us-east-1") -> Any:
        return self.aws.client(service, region, self.credentials)


class Tenant:
    """An account: its root's clients, and what it needs to test with."""

    def __init__(self, aws: EmbeddedAws, account_id: str | None = None) -> None:
        self.aws = aws
        self.account_id = account_id or str(next(_account_ids))

    def client(self, service: str, region: str = "us-east-1") -> Any:
        root = {"AccessKeyId": self.account_id, "SecretAccessKey": self.aws.secret_access_key}
        return self.aws.client(service, region, root)

    def role_for(self, principal: Mapping[str, str], *statements: Mapping[str, Any], name: str) -> str:
        iam = self.client("iam")
        trust = [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]
        arn: str = iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust})
        )["Role"]["Arn"]
        if statements:
            document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
            iam.put_role_policy(RoleName=name, PolicyName="rights", PolicyDocument=document)
        return arn

    def role(self, *statements: Mapping[str, Any], name: str = "worker") -> Role:
        """A role with these rights, assumed."""
        arn = self.role_for({"AWS": f"arn:aws:iam::{self.account_id}:root"}, *statements, name=name)
        assumed = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="session")
        return Role(self.aws, arn, assumed["AssumedRoleUser"]["Arn"], assumed["Credentials"])

    def function(
        self,
        source: str,
        *statements: Mapping[str, Any],
        name: str = "function",
        region: str = "us-east-1",
        role: str | None = None,
        seconds: int = 20,
    ) -> str:
        """A function with this source, which defines ``handler(event, context)``; its role has these rights."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("index.py", textwrap.dedent(source))
        role = role or self.role_for({"Service": "lambda.amazonaws.com"}, *statements, name=f"{name}-role")
        arn: str = self.client("lambda", region).create_function(
            FunctionName=name,
            Runtime="python3.11",
            Handler="index.handler",
            Role=role,
            Code={"ZipFile": archive.getvalue()},
            Timeout=seconds,
        )["FunctionArn"]
        return arn

    def queue(self, name: str, *statements: Mapping[str, Any]) -> tuple[str, str]:
        """URL and ARN of a queue, whose policy holds these statements."""
        sqs = self.client("sqs")
        policy = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": list(statements)})} if statements else {}
        url = sqs.create_queue(QueueName=name, Attributes=policy)["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        return url, attributes["QueueArn"]

    def receive(self, queue_url: str, seconds: float = 20) -> Any:
        """The next message of a queue, None if none comes in time."""
        sqs = self.client("sqs")

        def look() -> Any:
            return sqs.receive_message(QueueUrl=queue_url, MessageAttributeNames=["All"]).get("Messages")

        messages = eventually(look, seconds)
        return messages[0] if messages else None

    def http_api(self, function_arn: str, name: str, region: str = "us-east-1") -> str:
        """Id of an HTTP API whose ``GET /health`` is this function's."""
        gateway = self.client("apigatewayv2", region)
        api_id: str = gateway.create_api(Name=name, ProtocolType="HTTP")["ApiId"]
        integration = gateway.create_integration(
            ApiId=api_id, IntegrationType="AWS_PROXY", IntegrationUri=function_arn, PayloadFormatVersion="2.0"
        )["IntegrationId"]
        gateway.create_route(ApiId=api_id, RouteKey="GET /health", Target=f"integrations/{integration}")
        gateway.create_stage(ApiId=api_id, StageName="$default", AutoDeploy=True)
        return api_id

    def let_in(self, function_arn: str, service: str, source_arn: str, region: str = "us-east-1") -> None:
        """Let a service invoke a function for this source."""
        self.client("lambda", region).add_permission(
            FunctionName=function_arn,
            StatementId="service",
            Action="lambda:InvokeFunction",
            Principal=service,
            SourceArn=source_arn,
        )


@dataclass(frozen=True)
class Answer:
    status: int
    body: str


def get(url: str, headers: Mapping[str, str] | None = None) -> Answer:
    """What ``GET`` answers, whatever the status."""
    response = urllib3.request("GET", url, headers=dict(headers or {}), retries=False, timeout=120)
    return Answer(response.status, response.data.decode())


def handshake(aws: EmbeddedAws, path: str, headers: Mapping[str, str]) -> str:
    """The status line of the answer to a request for a websocket."""
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    named = {"Host": "127.0.0.1", **upgrade, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **headers}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    with socket.create_connection(("127.0.0.1", aws.port), timeout=120) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return connection.recv(1000).decode().partition("\r\n")[0].strip()


def signed(
    account: Tenant,
    service: str,
    body: str,
    headers: Mapping[str, str],
    region: str = "us-east-1",
    *,
    method: str = "POST",
    path: str = "/",
) -> Any:
    """The headers of a request that the account's root sends, with its signature."""
    request = AWSRequest(method, f"{account.aws.endpoint_url}{path}", dict(headers), body)
    SigV4Auth(Credentials(account.account_id, account.aws.secret_access_key), service, region).add_auth(request)
    return dict(request.headers)


def call_query_protocol(account: Tenant, service: str, action: str, **params: str) -> Answer:
    """What a service answers in the Query protocol.

    Terraform's AWS provider 5.x speaks it to services that boto3 has left it for.
    """
    body = urllib.parse.urlencode({"Action": action, "Version": "2010-08-01", **params})
    headers = signed(account, service, body, {"Content-Type": "application/x-www-form-urlencoded"})
    response = urllib3.request("POST", account.aws.endpoint_url, body=body, headers=headers, retries=False, timeout=120)
    return Answer(response.status, response.data.decode())
