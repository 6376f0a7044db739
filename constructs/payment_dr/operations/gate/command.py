"""`dr gate`: read each file, judge it, print the verdicts."""

import difflib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from payment_dr.operations.command import show
from payment_dr.operations.errors import OperationError
from payment_dr.operations.gate.plan import HOW_TO_WRITE_ONE, parse, read
from payment_dr.operations.gate.report import Judged, as_json, exit_code_of, explained, markdown, sarif, text
from payment_dr.operations.gate.rules import RULES
from payment_dr.operations.gate.verdict import judge_plan

STDIN = "-"


def judge_files(files: Sequence[Path], target_seconds: float, formats: Sequence[str]) -> list[Judged]:
    """Judge each file.

    Args:
        files: Their paths; "-" is stdin.
        target_seconds: The longest that a failover may take.
        formats: The requested output formats, at most one.

    Raises:
        OperationError: There is no file, a file is not a plan, or two formats were requested.
    """
    if len(formats) > 1:
        raise OperationError(f"--{formats[0]} and --{formats[1]} exclude each other", hint="use one of them")
    if not files:
        raise OperationError("no plan was given", hint=f"{HOW_TO_WRITE_ONE} && dr gate plan.json")
    judged = []
    for file in files:
        plan = parse(sys.stdin.buffer, "stdin") if str(file) == STDIN else read(file)
        name = "plan.json" if str(file) == STDIN else str(file)
        try:
            judged.append(Judged(name, judge_plan(plan, target_seconds)))
        except RecursionError as error:  # a plan whose parts name each other in thousands of steps
            what = f"{name} has too many names that lead to one another"
            raise OperationError(what, hint="gate a smaller plan") from error
    return judged


def printed(judged: Sequence[Judged], how: str) -> int:
    """Print verdicts, and return the exit code."""
    if how == "json":
        sys.stdout.write(json.dumps(as_json(judged), indent=2) + "\n")
    elif how == "sarif":
        sys.stdout.write(json.dumps(sarif(judged), indent=2) + "\n")
    elif how == "markdown":
        sys.stdout.write("\n".join(markdown(each) for each in judged))
    else:
        for each in judged:
            for line in text(each):
                show(line)
    return exit_code_of(judged)


def explain_rule(id_: str) -> None:
    """Print what a rule finds and what to change.

    Raises:
        OperationError: There is no such rule.
    """
    if id_ not in RULES:
        close = difflib.get_close_matches(id_, RULES, n=3) or list(RULES)
        raise OperationError(f"there is no rule {id_}", hint=f"one of {', '.join(close)}")
    for line in explained(RULES[id_]):
        show(line)
