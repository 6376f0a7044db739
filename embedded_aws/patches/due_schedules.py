"""The scheduled rules of a region can be made due.

AWS: EventBridge invokes the targets of a rule with a rate expression once a period, which begins when the rule is
created (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html).

ministack 1.5.33: counts the period by the machine's clock.

Why it matters: a drill's time is faster, so a schedule would never run in it.

``PUT /_schedules/{region}`` runs each enabled rule with a schedule in the region once, as its period would: its
targets, its input and its right to invoke decide, and nothing is delivered while the region is down.
"""

from typing import Any

from ministack import app  # type: ignore[import-untyped]
from ministack.services import eventbridge  # type: ignore[import-untyped]

from embedded_aws.patches.region_outage import respond_json

_PATH = "/_schedules/"
_LONG_AGO = 0.0  # since 1970


def apply() -> None:
    """Run due schedules on a request to a path of the emulator's own."""
    serve = app.app

    async def serve_schedules(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_PATH):
            await serve(scope, receive, send)
        elif scope["method"] != "PUT":
            await respond_json(send, 400, {"message": f"PUT {_PATH}{{region}}"})
        else:
            await respond_json(send, 200, {"rules": _run(scope["path"].removeprefix(_PATH))})

    app.app = serve_schedules


def _run(region: str) -> list[str]:
    due = [
        key
        for key, rule in eventbridge._rules._data.items()
        if key[1] == region and rule.get("ScheduleExpression") and rule.get("State") == "ENABLED"
    ]
    for key in due:
        eventbridge._rule_last_fired[key] = _LONG_AGO
    eventbridge._tick_scheduled_rules()
    return sorted(eventbridge._rules._data[key]["Name"] for key in due)
