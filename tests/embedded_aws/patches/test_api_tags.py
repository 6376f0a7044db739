import pytest

from tests.embedded_aws.tenant import Tenant


def tags_after_a_change(account: Tenant) -> list[dict[str, str]]:
    """Tags of an API, and of its stage, of which one was taken off and one put on."""
    client, arn = account.client("apigatewayv2"), "arn:aws:apigateway:us-east-1::/apis/{}"
    api_id = client.create_api(Name="payments", ProtocolType="HTTP", Tags={"Owner": "a", "Kept": "b"})["ApiId"]
    client.create_stage(ApiId=api_id, StageName="$default", Tags={"Owner": "a", "Kept": "b"})
    for tagged in (api_id, f"{api_id}/stages/$default"):
        client.tag_resource(ResourceArn=arn.format(tagged), Tags={"Team": "c"})
        client.untag_resource(ResourceArn=arn.format(tagged), TagKeys=["Owner"])
    return [client.get_api(ApiId=api_id)["Tags"], client.get_stage(ApiId=api_id, StageName="$default")["Tags"]]


def test_api_and_stage_tell_the_tags_that_they_have(account: Tenant) -> None:
    assert tags_after_a_change(account) == [{"Kept": "b", "Team": "c"}] * 2


def test_a_change_of_what_is_not_there_is_refused_as_before(account: Tenant) -> None:
    client = account.client("apigatewayv2")
    with pytest.raises(client.exceptions.NotFoundException):
        client.tag_resource(ResourceArn="arn:aws:apigateway:us-east-1::/apis/nowhere", Tags={"a": "b"})


def test_upstream_still_tells_those_of_the_beginning(unpatched_account: Tenant) -> None:
    assert tags_after_a_change(unpatched_account) == [{"Owner": "a", "Kept": "b"}] * 2
