"""Manual steps before a deployed stack protects real payments: rows of `dr status` that Terraform cannot fix.

The drill does not need them: you can drill a stack before its mails are confirmed. An embedded AWS sends no mail and
has no parent zone. There the rows name what they would check, and are not a fault.
"""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from payment_dr.operations.aws import asked, listed
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.drill.tls_client import NotServedError, tls_client_of
from payment_dr.operations.errors import OperationError
from payment_dr.operations.status import BAD, CANNOT_TELL, Finding, judged, look
from payment_dr.side import SIDES

# Nobody can register a name below these: https://www.rfc-editor.org/rfc/rfc6761 and rfc2606
PLACEHOLDERS = (".test", ".example", ".invalid", ".localhost", "example.com", "example.net", "example.org")
# https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html: the ARN of a subscription that nobody confirmed yet
PENDING = "pending"
SHORTEST_RETENTION_DAYS = 30  # of logs that somebody reads after an incident
DNS_SECONDS = 5.0

NameServersOf = Callable[[str], frozenset[str]]


def left_to_do(
    stack: Deployed, directory: Path | None, name_servers_of: NameServersOf | None = None
) -> dict[str, Finding]:
    """Check everything that a person does once, after a first deployment.

    Args:
        stack: The deployed stack.
        directory: Folder of the synthesized stack. None: unknown, and its settings are not checked.
        name_servers_of: Returns the name servers of a domain in DNS. Default: asks the resolver of this machine.

    Returns:
        Findings by the name of their row.
    """
    domain = str(stack.outputs["hosted_zone_name"]).rstrip(".")
    see: dict[str, Callable[[], Finding]] = {
        "alert subscriptions": lambda: _subscriptions(stack),
        "name servers": lambda: _name_servers(stack, domain, name_servers_of or asked_of_dns),
        **({"certificate": lambda: _certificate(stack)} if stack.has_custom_domain else {}),
        "state": lambda: _state(stack, directory),
        "settings": lambda: _settings(stack, domain, directory),
    }
    with ThreadPoolExecutor(len(see)) as pool:
        futures = {name: pool.submit(look, each) for name, each in see.items()}
        return {name: future.result() for name, future in futures.items()}


def is_placeholder(domain: str) -> bool:
    """Whether nobody can own this domain.

    Example:
        >>> is_placeholder("payment-app.test"), is_placeholder("pay.acme.io")
        (True, False)
    """
    return f".{domain.lower().rstrip('.')}".endswith(tuple(f".{each.lstrip('.')}" for each in PLACEHOLDERS))


def _subscriptions(stack: Deployed) -> Finding:
    wrong, confirmed = [], 0
    for side in SIDES:
        client, topic = stack.client("sns", side), stack.output(side, "sns_topic_arn")
        found = asked(
            f"SNS in {stack.region(side)}",
            lambda client=client, topic=topic: list(  # type: ignore[misc]
                listed(client, "list_subscriptions_by_topic", "Subscriptions", TopicArn=topic)
            ),
        )
        if not found:
            wrong.append(f"none in {stack.region(side)}")
        for each in found:
            endpoint = str(each["Endpoint"])
            if each["Protocol"] == "email" and is_placeholder(endpoint.rpartition("@")[2]):
                wrong.append(f"{endpoint} in {stack.region(side)} is a placeholder: set alert_email")
            elif PENDING in str(each["SubscriptionArn"]).lower():
                wrong.append(
                    f"{endpoint} in {stack.region(side)} is not confirmed: open the mail from AWS Notifications"
                )
            else:
                confirmed += 1
    if not stack.is_live:
        return Finding("not checked: an embedded AWS sends no mail")
    return judged(not wrong, "; ".join(wrong) or f"{confirmed} confirmed")


def _name_servers(stack: Deployed, domain: str, name_servers_of: NameServersOf) -> Finding:
    if not stack.is_live:
        return Finding("not checked: an embedded AWS has no parent zone")
    if is_placeholder(domain):
        return Finding(f"{domain} is a placeholder that does not resolve: set domain_name", BAD)
    ours = frozenset(str(each).lower().rstrip(".") for each in stack.outputs["hosted_zone_name_servers"])
    if not ours:
        return Finding(f"not checked: the zone of {domain} is older than the stack")
    found = name_servers_of(domain)
    if found == ours:
        return Finding(f"{domain} is delegated to this zone")
    what = ", ".join(sorted(found)) or "nothing"
    return Finding(f"{domain} is delegated to {what}: enter hosted_zone_name_servers at your registrar", BAD)


def asked_of_dns(domain: str) -> frozenset[str]:
    """The name servers of a domain, from the resolver of this machine. Empty if it is not delegated.

    Raises:
        OperationError: DNS does not answer.
    """
    import dns.exception  # loads a DNS client, for which no other command should wait
    import dns.resolver

    try:
        answer = dns.resolver.resolve(f"{domain}.", "NS", lifetime=DNS_SECONDS, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return frozenset()
    except (dns.exception.DNSException, OSError) as error:
        raise OperationError(
            f"DNS does not answer for the name servers of {domain}: {type(error).__name__}",
            hint="check the resolver of this machine",
        ) from error
    return frozenset(str(each.target).lower().rstrip(".") for each in answer)


def _certificate(stack: Deployed) -> Finding:
    tls, fqdn = tls_client_of(stack), stack.outputs["application_fqdn"]
    if tls is None:
        return Finding("not checked: the drill verifies it, with the embedded AWS's own authority")
    for side in SIDES:
        try:
            tls.call(side)
        except NotServedError as error:
            rejected = not str(error).startswith("no answer")  # which is no word on the certificate
            return Finding(f"{stack.region(side)} does not serve {fqdn}: {error}", BAD if rejected else CANNOT_TELL)
    return Finding(f"both regions serve {fqdn} over TLS")


def _state(stack: Deployed, directory: Path | None) -> Finding:
    if not stack.is_live:
        return Finding("not checked: an embedded AWS ends with its state")
    synthesized = _synthesized(directory)
    if synthesized is None:
        return _NOT_CHECKED
    if "s3" in synthesized.get("terraform", {}).get("backend", {}):
        return Finding("in a bucket")
    return Finding("in a file on this machine: set PAYMENT_DR_STATE and run dr bootstrap", BAD)


def _settings(stack: Deployed, domain: str, directory: Path | None) -> Finding:
    if not stack.is_live or is_placeholder(domain):
        return Finding("not checked: this stack has no domain of its own")
    synthesized = _synthesized(directory)
    if synthesized is None:
        return _NOT_CHECKED
    resources: Mapping[str, Mapping[str, Mapping[str, Any]]] = synthesized.get("resource", {})

    def some(kind: str, wrong: Callable[[Mapping[str, Any]], bool]) -> bool:
        return any(wrong(each) for each in resources.get(kind, {}).values())

    def kept_too_short(log: Mapping[str, Any]) -> bool:
        days = log.get("retention_in_days")  # a reference is no number; 0 or nothing is for ever
        return isinstance(days, int) and 0 < days < SHORTEST_RETENTION_DAYS

    testing = {
        "buckets delete their documents with the stack (force_destroy)": some(
            "aws_s3_bucket", lambda bucket: bucket.get("force_destroy") is True
        ),
        "the table has no deletion protection (deletion_protection)": some(
            "aws_dynamodb_table", lambda table: table.get("deletion_protection_enabled") is not True
        ),
        f"logs are kept for less than {SHORTEST_RETENTION_DAYS} days": some("aws_cloudwatch_log_group", kept_too_short),
    }
    found = [what for what, is_so in testing.items() if is_so]
    return judged(not found, f"for testing: {'; '.join(found)}" if found else "for production")


_NOT_CHECKED = Finding("not checked: give --dir, the folder of the synthesized stack")


def _synthesized(directory: Path | None) -> dict[str, Any] | None:
    """The synthesized stack, if it exists."""
    if directory is None or not (file := directory / "cdk.tf.json").is_file():
        return None
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OperationError(f"{file} cannot be read: {error}", hint="run make synth") from error
    return found
