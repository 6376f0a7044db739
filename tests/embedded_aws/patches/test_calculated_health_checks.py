from tests.embedded_aws.patches.test_route53_health_checks import HTTPS, create
from tests.embedded_aws.tenant import Tenant


def children_of(account: Tenant) -> tuple[list[str], list[str]]:
    """The ids of two health checks, and those that a calculated one says are its children."""
    made = [create(account, name, **HTTPS) for name in ("one", "other")]
    parent = create(account, "both", Type="CALCULATED", ChildHealthChecks=made, HealthThreshold=2)
    found = account.client("route53").get_health_check(HealthCheckId=parent)["HealthCheck"]["HealthCheckConfig"]
    return made, found["ChildHealthChecks"]


def test_a_calculated_health_check_knows_its_children(account: Tenant) -> None:
    made, found = children_of(account)
    assert found == made


def test_they_can_be_changed(account: Tenant) -> None:
    one, other = (create(account, name, **HTTPS) for name in ("one", "other"))
    parent = create(account, "both", Type="CALCULATED", ChildHealthChecks=[one], HealthThreshold=1)
    changed = account.client("route53").update_health_check(HealthCheckId=parent, ChildHealthChecks=[one, other])
    assert changed["HealthCheck"]["HealthCheckConfig"]["ChildHealthChecks"] == [one, other]


def test_upstream_still_loses_them(unpatched_account: Tenant) -> None:
    assert children_of(unpatched_account)[1] == ["", ""]
