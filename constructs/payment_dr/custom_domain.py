"""CustomDomain: one region's certificate and API mapping for a host name that clients reach over TLS."""

from typing import Final

from .bindings import (
    AcmCertificate,
    AcmCertificateValidation,
    Apigatewayv2ApiMapping,
    Apigatewayv2DomainName,
    Apigatewayv2DomainNameDomainNameConfiguration,
    Construct,
    Route53Record,
    TerraformResourceLifecycle,
)
from .checks import mistakes_in_props
from .described import Described
from .errors import reject
from .naming import name
from .region import Region, mistakes_in_providers

# ACM asks for the same CNAME again whenever the same account asks for the same name, so it is short-lived on purpose.
VALIDATION_TTL_SECONDS = 60


class CustomDomain(Described):
    """A host name of your own in front of an HTTP API, in one region.

    Without it API Gateway rejects every TLS client of that name: its certificate is for the execute-api host, and it
    routes by the name in the handshake. For a failover, make the same host in both regions:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/dns-failover.html

    ACM proves ownership of a name with one CNAME record. It is the same for all certificates of that name in one
    account, in every region. The first construct creates or adopts it. Pass it to the second one.
    https://docs.aws.amazon.com/acm/latest/userguide/dns-validation.html

    Args:
        region: The region.
        environment: Environment name; may be a Terraform variable.
        host: Host name that clients use; may be a Terraform value.
        api_id, stage: The HTTP API and its stage that the host is mapped to.
        zone_id: Public hosted zone that holds the host's domain.
        validation_record: The record of the same host's other `CustomDomain`. Default: creates one.

    Attributes:
        target_name, target_zone_id: What an alias record points to.
        certificate_arn: The certificate, once it is issued.
        validation_record: The record that proves ownership.

    Raises:
        ConfigurationError: A prop is outside its limit, or the region's provider deploys to another region.

    Example:
        >>> east = CustomDomain(self, "east", region=first, environment="dev", host="app.pay.acme.io",
        ...                     api_id=health.api_id, stage=health.stage, zone_id=zone.zone_id)
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        region: Region,
        environment: str,
        host: str,
        api_id: str,
        stage: str,
        zone_id: str,
        validation_record: Route53Record | None = None,
    ) -> None:
        super().__init__(scope, id_)
        mistakes = mistakes_in_props(CustomDomain, locals())
        reject("CustomDomain", mistakes + mistakes_in_providers(self, region))
        tags = {"Name": name("certificate", "payment-app", region, environment)}
        certificate = AcmCertificate(
            self,
            "certificate",
            domain_name=host,
            validation_method="DNS",
            # A certificate that is in use cannot be deleted, so its successor comes first.
            lifecycle=TerraformResourceLifecycle(create_before_destroy=True),
            tags=tags,
            provider=region.provider,
        )
        proof = certificate.domain_validation_options.get(0)
        self.validation_record: Final = validation_record or Route53Record(
            self,
            "validation_record",
            zone_id=zone_id,
            name=proof.resource_record_name,
            type=proof.resource_record_type,
            records=[proof.resource_record_value],
            ttl=VALIDATION_TTL_SECONDS,
            # Where a live application has a certificate for the name, the record is there already, and is the same.
            allow_overwrite=True,
        )
        validation = AcmCertificateValidation(
            self,
            "validation",
            certificate_arn=certificate.arn,
            validation_record_fqdns=[self.validation_record.fqdn],
            provider=region.provider,
        )
        domain = Apigatewayv2DomainName(
            self,
            "domain_name",
            domain_name=host,
            domain_name_configuration=Apigatewayv2DomainNameDomainNameConfiguration(
                certificate_arn=validation.certificate_arn, endpoint_type="REGIONAL", security_policy="TLS_1_2"
            ),
            tags={"Name": name("domain-name", "payment-app", region, environment)},
            provider=region.provider,
        )
        Apigatewayv2ApiMapping(
            self, "api_mapping", api_id=api_id, domain_name=domain.id, stage=stage, provider=region.provider
        )
        self.target_name: Final = domain.domain_name_configuration.target_domain_name
        self.target_zone_id: Final = domain.domain_name_configuration.hosted_zone_id
        self.certificate_arn: Final = validation.certificate_arn
