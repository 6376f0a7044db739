"""What others say, and a terminal would obey, is shown and not obeyed: in every command, and in every stream."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import typer
from botocore.exceptions import ClientError
from rich.console import Console
from typer.testing import CliRunner, Result

from payment_dr.operations import cli
from payment_dr.operations import command as commands
from payment_dr.operations.command import progress_of
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.printable import printable
from payment_dr.operations.route53.checkers import ProbeResult
from payment_dr.operations.terraform.runner import ResourceEvent
from payment_dr.side import SIDES
from tests.operations.stack import NAMES, Stack, refusal

# Clear the screen, a link, the bell, back to the begin of the line, clear the screen by one byte, the other direction.
NAME = "[red]\x1b[2J\x1b]8;;https://evil.example\a\r\x9b2J\u202e"
EVIL = f"{NAME}\nerror: none"  # no name on AWS has another line
SHOWN = r"[red]\x1b[2J\x1b]8;;https://evil.example\x07\r\x9b2J\u202e"


def obeyed(text: str) -> list[str]:
    return [each for each in text if not each.isprintable() and each != "\n"]


@pytest.fixture
def dr(make_stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command line against a stack of fakes, on a terminal that is wide enough."""

    def run(stack: Stack, *arguments: str) -> Result:
        monkeypatch.setenv("COLUMNS", "500")
        monkeypatch.setattr(commands.progress, "width", 500)
        monkeypatch.setattr(Deployed, "read", lambda **_: stack)
        return CliRunner().invoke(cli.app, arguments)

    return run


Dr = Callable[..., Result]


@pytest.mark.parametrize(
    ("text", "lines", "shown"),
    [
        (EVIL, False, SHOWN + r"\nerror: none"),
        (EVIL, True, SHOWN + "\nerror: none"),
        ("Zürich 東京 ✓ \U0001f600", False, "Zürich 東京 ✓ \U0001f600"),
        ("".join(map(chr, (*range(32), *range(127, 160)))), False, None),
        ("\u200e\u200f\u202a\u202b\u202c\u202d\u2066\u2067\u2068\u2069\u2028\u2029\ufeff\ud800", True, None),
    ],
)
def test_an_invisible_character_is_shown_as_its_escape(text: str, lines: bool, shown: str | None) -> None:
    found = printable(text, lines=lines)
    assert found.replace("\n", "").isprintable()
    assert found == (shown or text.encode("unicode_escape").decode())


def poison_the_probe(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({"status": "healthy", "reason": EVIL}).encode()
    monkeypatch.setattr(stack, "probe", lambda _check: ProbeResult(connect_seconds=0, status=200, body=body))


def poison_an_alarm(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.outputs["alarm_names"] = [NAME]
    stack.alarms["primary"] = {NAME: "ALARM"}


def poison_a_parameter(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.outputs["ssm_parameter_names"] = [*NAMES, NAME]


def poison_an_answer(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.failing["dynamodb", "primary"] = refusal(400, EVIL)


def poison_a_region(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.outputs["primary_region"] = NAME
    for side in SIDES:  # that fake knows the regions
        stack.failing["cloudwatch", side] = refusal(400)


POISONS = [poison_the_probe, poison_an_alarm, poison_a_parameter, poison_an_answer, poison_a_region]


@pytest.mark.parametrize("poison", POISONS)
def test_status_shows_it_in_its_cell_and_escapes_it_in_json(
    dr: Dr, stack: Stack, monkeypatch: pytest.MonkeyPatch, poison: Callable[..., None]
) -> None:
    poison(stack, monkeypatch)
    done = dr(stack, "status")
    assert obeyed(done.stdout + done.stderr) == []
    assert r"[red]\x1b[2J\x1b]8;;https://evil.example\x07" in done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("error")] == []
    as_json = dr(stack, "status", "--json").stdout
    assert obeyed(as_json) == []
    assert r"\u001b[2J\u001b]8;;https://evil.example\u0007" in as_json
    json.loads(as_json)


@pytest.mark.parametrize("poison", POISONS)
def test_failover_and_failback_show_it(
    dr: Dr, stack: Stack, monkeypatch: pytest.MonkeyPatch, poison: Callable[..., None]
) -> None:
    poison(stack, monkeypatch)
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: True)
    for arguments in (["failover"], ["failback"], ["failover", "--dry-run"], ["failback", "--force", "--json"]):
        done = dr(stack, *arguments)
        assert obeyed(done.stdout + done.stderr) == [], arguments
        lines = [line for line in done.output.splitlines() if line.startswith("error: none")]
        assert (lines, isinstance(done.exception, SystemExit | None)) == ([], True), arguments


def test_a_question_shows_it(dr: Dr, make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(live=True)
    stack.outputs["primary_region"] = NAME
    done = dr(stack, "failover")
    assert obeyed(done.stderr) == []
    assert f"This fences {SHOWN} in account" in done.stderr


def test_an_error_of_aws_is_one_line(stack: Stack) -> None:
    error = refusal(400, EVIL)
    assert isinstance(error, ClientError)
    with pytest.raises(Exception, match="rejects the call") as raised:
        commands_that_ask(error)
    assert "\n" not in str(raised.value)


def commands_that_ask(error: ClientError) -> Any:
    from payment_dr.operations.aws import asked

    def fail() -> None:
        raise error

    return asked("DynamoDB", fail)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_it(terminal: bool) -> None:
    console = Console(force_terminal=terminal, width=500, color_system=None)
    with console.capture() as capture, progress_of(console) as (on_step, on_event):
        on_step(EVIL)
        on_event(ResourceEvent(address=EVIL, action="create", phase="complete", elapsed=1))
    assert "\x1b]8" not in capture.get()
    assert "\a" not in capture.get()
    shown = capture.get().count(r"[red]\x1b[2J\x1b]8;;https://evil.example\x07")
    assert shown >= (2 if terminal else 1)  # the step, and what is done in it
