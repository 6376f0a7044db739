from typing import Any

from tests.embedded_aws.patches.test_route53_health_checks import ALARM, OF_THE_ALARM, create, put_alarm
from tests.embedded_aws.tenant import Tenant

DIMENSIONS = [{"Name": "FunctionName", "Value": "canary"}]


def copied(account: Tenant, id_: str) -> Any:
    return (
        account.client("route53").get_health_check(HealthCheckId=id_)["HealthCheck"].get("CloudWatchAlarmConfiguration")
    )


def test_a_health_check_has_a_copy_of_the_alarms_settings(account: Tenant) -> None:
    put_alarm(account, Dimensions=DIMENSIONS)
    id_ = create(account, "once", **OF_THE_ALARM)

    settings = {name: value for name, value in ALARM.items() if name != "AlarmName"} | {"Dimensions": DIMENSIONS}
    assert copied(account, id_) == settings
    (listed,) = account.client("route53").list_health_checks()["HealthChecks"]
    assert listed["CloudWatchAlarmConfiguration"] == settings


def test_a_change_of_the_alarm_reaches_the_health_check_when_that_is_updated(account: Tenant) -> None:
    put_alarm(account)
    id_ = create(account, "once", **OF_THE_ALARM)
    put_alarm(account, EvaluationPeriods=3)
    assert copied(account, id_)["EvaluationPeriods"] == 2

    account.client("route53").update_health_check(HealthCheckId=id_, AlarmIdentifier=OF_THE_ALARM["AlarmIdentifier"])
    assert copied(account, id_)["EvaluationPeriods"] == 3


def test_another_kind_of_health_check_has_none(account: Tenant) -> None:
    assert copied(account, create(account, "once", Type="HTTPS", FullyQualifiedDomainName="a.shop.test")) is None


def test_upstream_still_keeps_the_name_alone(unpatched_account: Tenant) -> None:
    put_alarm(unpatched_account)
    assert copied(unpatched_account, create(unpatched_account, "once", **OF_THE_ALARM)) is None
