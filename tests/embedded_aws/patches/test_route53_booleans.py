from tests.embedded_aws.tenant import Tenant


def booleans(account: Tenant) -> tuple[bool, ...]:
    """EnableSNI, Inverted and Disabled of a health check that was made with all of them true."""
    client = account.client("route53")
    made = client.create_health_check(
        CallerReference="once",
        HealthCheckConfig={
            "Type": "HTTPS",
            "FullyQualifiedDomainName": "a.shop.test",
            "EnableSNI": True,
            "Inverted": True,
            "Disabled": True,
        },
    )["HealthCheck"]
    config = client.get_health_check(HealthCheckId=made["Id"])["HealthCheck"]["HealthCheckConfig"]
    return config["EnableSNI"], config["Inverted"], config["Disabled"]


def test_what_is_true_reads_as_true(account: Tenant) -> None:
    assert booleans(account) == (True, True, True)


def test_upstream_still_writes_them_in_upper_case(unpatched_account: Tenant) -> None:
    assert booleans(unpatched_account) == (False, False, False)
