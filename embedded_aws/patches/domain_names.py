"""API Gateway's regional domain names need a valid certificate, and are in their region's zone.

AWS: the certificate is issued, of the same region
(https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-regional-api-custom-domain-create.html), and
not deleted while a domain name has it (https://docs.aws.amazon.com/acm/latest/APIReference/API_DeleteCertificate.html).
An alias of the domain name needs the hosted zone of its region
(https://docs.aws.amazon.com/general/latest/gr/apigateway.html).

ministack 1.5.33: accepts any certificate, deletes it while in use, and has one zone for all regions, that of us-east-1.

Why it matters: a domain name that does not wait for its certificate, or has the other region's, would deploy here. And
no test could detect an alias with the other region's zone.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.responses import get_account_id, get_region  # type: ignore[import-untyped]
from ministack.services import acm, apigateway, apigateway_v1  # type: ignore[import-untyped]

# https://docs.aws.amazon.com/general/latest/gr/apigateway.html
ZONES: Mapping[str, str] = {
    "af-south-1": "Z2DHW2332DAMTN",
    "ap-east-1": "Z3FD1VL90ND7K5",
    "ap-northeast-1": "Z1YSHQZHG15GKL",
    "ap-northeast-2": "Z20JF4UZKIW1U8",
    "ap-northeast-3": "Z22ILHG95FLSZ2",
    "ap-south-1": "Z3VO1THU9YC4UR",
    "ap-southeast-1": "ZL327KTPIQFUL",
    "ap-southeast-2": "Z2RPCDW04V8134",
    "ca-central-1": "Z19DQILCV0OWEC",
    "eu-central-1": "Z1U9ULNL0V5AJ3",
    "eu-north-1": "Z3UWIKFBOOGXPP",
    "eu-south-1": "Z3BT4WSQ9TDYZV",
    "eu-west-1": "ZLY8HYME6SFDD",
    "eu-west-2": "ZJ5UAJN8Y3Z2Q",
    "eu-west-3": "Z3KY65QIEKYHQQ",
    "me-south-1": "Z20ZBPC0SS8806",
    "sa-east-1": "ZCMLWB8V5SYIT",
    "us-east-1": "Z1UJRXOUMOOFQ8",
    "us-east-2": "ZOJJZC49E0EPZ",
    "us-west-1": "Z2MUQ32089INYE",
    "us-west-2": "Z2OJLYMUO9EFXC",
}


def apply() -> None:
    """Check certificates before a change of a domain name, and before a certificate is deleted."""
    create, update, delete = apigateway._create_domain_name, apigateway._update_domain_name, acm._delete_certificate

    def create_in_its_zone(data: dict[str, Any]) -> Any:
        def created() -> Any:
            answer = create(data)
            if answer[0] < 300:
                record = apigateway_v1._domain_names[data["domainName"]]
                record["regionalHostedZoneId"] = ZONES.get(get_region(), record["regionalHostedZoneId"])
                return answer[0], answer[1], apigateway._get_domain_name(data["domainName"])[2]
            return answer

        return _with_certificates(data, created)

    def delete_unused(data: dict[str, Any]) -> Any:
        arn = data.get("CertificateArn", "")
        if arn in {domain.get("regionalCertificateArn") for domain in apigateway_v1._domain_names.values()}:
            message = f"Certificate {arn} in account {get_account_id()} is in use."
            return acm.error_response_json("ResourceInUseException", message, 400)
        return delete(data)

    apigateway._create_domain_name = create_in_its_zone
    apigateway._update_domain_name = lambda name, data: _with_certificates(data, lambda: update(name, data))
    acm._delete_certificate = delete_unused


def _with_certificates(data: dict[str, Any], change: Callable[[], Any]) -> Any:
    for configuration in data.get("domainNameConfigurations", []):
        if objection := _objection(configuration.get("certificateArn", "")):
            return apigateway._apigw_error("BadRequestException", objection, 400)
    return change()


def _objection(arn: str) -> str | None:
    """Wording: https://github.com/architect/architect/issues/25, aws/aws-cdk/issues/9548; the last one is ours."""
    region = get_region()
    if arn.split(":")[3:4] != [region]:
        return f"Invalid certificate ARN: {arn}. Certificate must be in '{region}'."
    if arn not in acm._certificates:
        return "The certificate provided must be owned by the account creating the domain."
    if acm._cert_shape(acm._certificates[arn])["Status"] != "ISSUED":
        return f"The certificate {arn} is not issued."
    return None
