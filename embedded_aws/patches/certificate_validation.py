"""ACM issues a certificate when its validation record exists.

AWS: a requested certificate is PENDING_VALIDATION until the CNAME that ACM asks for is found; that CNAME is the same
for every certificate of one name in one account, whatever its region
(https://docs.aws.amazon.com/acm/latest/userguide/dns-validation.html).

ministack 1.5.33: issues every certificate at once, record or not, and asks all accounts for the same CNAME.

Why it matters: a stack that forgets the record, or writes it wrong, would deploy here and wait for 75 minutes on AWS.
"""

import hashlib
from typing import Any

from ministack.core.responses import get_account_id  # type: ignore[import-untyped]
from ministack.services import acm, route53  # type: ignore[import-untyped]


def apply() -> None:
    """Check Route 53 whenever a certificate is read."""
    options, shape, listed = acm._validation_options, acm._cert_shape, acm._list_certificates

    def with_a_record_of_the_account(domain: str, method: str) -> dict[str, Any]:
        option: dict[str, Any] = options(domain, method)
        base = domain.removeprefix("*.")
        name, value = (
            hashlib.sha256(f"{part} {get_account_id()} {base}".encode()).hexdigest()[:32] for part in ("name", "value")
        )
        option["ValidationStatus"] = "PENDING_VALIDATION"
        option["ResourceRecord"] = {
            "Name": f"_{name}.{base}.",
            "Type": "CNAME",
            "Value": f"_{value}.acm-validations.aws.",
        }
        return option

    def validated(certificate: dict[str, Any]) -> Any:
        _validate(certificate)
        shown = shape(certificate)
        if certificate["Status"] == "PENDING_VALIDATION":
            for issued in ("IssuedAt", "NotBefore", "NotAfter"):
                shown.pop(issued, None)
        return shown

    def list_validated(data: dict[str, Any]) -> Any:
        for certificate in acm._certificates.values():
            _validate(certificate)
        return listed(data)

    acm._validation_options, acm._cert_shape, acm._list_certificates = (
        with_a_record_of_the_account,
        validated,
        list_validated,
    )


def _validate(certificate: dict[str, Any]) -> None:
    """Issue a certificate once all of its records exist. It then stays issued."""
    options = certificate.get("DomainValidationOptions", [])
    pending = [option for option in options if option["ValidationStatus"] == "PENDING_VALIDATION"]
    for option in pending:
        if option["ValidationMethod"] == "DNS" and _exists(option["ResourceRecord"]):
            option["ValidationStatus"] = "SUCCESS"
    waits = any(option["ValidationStatus"] == "PENDING_VALIDATION" for option in options)
    if pending:
        certificate["Status"] = "PENDING_VALIDATION" if waits else "ISSUED"


def _exists(wanted: dict[str, str]) -> bool:
    return any(
        record["Name"].rstrip(".").lower() == wanted["Name"].rstrip(".").lower()
        and record["Type"] == "CNAME"
        and _values(record) == [wanted["Value"].rstrip(".").lower()]
        for records in route53._records.values()
        for record in records
    )


def _values(record: dict[str, Any]) -> list[str]:
    values = [value["Value"] if isinstance(value, dict) else value for value in record.get("ResourceRecords", [])]
    return [value.rstrip(".").lower() for value in values]
