"""An API and a stage return tags that were added or removed after their creation.

AWS: GetApi and GetStages return "the collection of tags"
(https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid.html).

ministack 1.5.33: always the tags of the creation. Only GetTags returns the others.

Why it matters: after a change of tags every plan of Terraform wants to make the same change again.
"""

import re
from collections.abc import Callable
from typing import Any

from ministack.services import apigateway  # type: ignore[import-untyped]

_API_OR_STAGE = re.compile(r"/apis/([^/]+)(?:/stages/(.+))?")


def apply() -> None:
    """Apply changes of tags to the tagged resource."""
    for name in ("_tag_resource", "_untag_resource"):
        setattr(apigateway, name, _reaching_what_is_tagged(getattr(apigateway, name)))


def _reaching_what_is_tagged(change: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    def changed(resource_arn: str, what: Any) -> Any:
        answer = change(resource_arn, what)
        found = _API_OR_STAGE.search(resource_arn)
        if found and answer[0] < 300:
            api_id, stage = found.groups()
            arn = apigateway._api_resource_arn(api_id, *(["stages", stage] if stage else []))
            tagged = apigateway._stages[api_id][stage] if stage else apigateway._apis[api_id]
            tagged["tags"] = dict(apigateway._api_tags.get(arn, {}))
        return answer

    return changed
