"""The report: a table on the terminal, JSON, and docs/permissions.md."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from textwrap import fill
from typing import Any

from rich.console import Console
from rich.table import Table

from embedded_aws.deployment import Deployment
from payment_dr.side import SIDES
from permission_proof.claims import ALL_CLAIMS, CLAIMS
from permission_proof.excess import ABSENT, Asked
from permission_proof.proof import PASSES, Proof, Refused, Report

COLUMNS = ("role", "action", "resource", "condition", "scenario", "with", "without")
NEIGHBOURS = ("role", "action", "granted", "found")
_KINDS = ("rights", "refused", "neighbours", "jobs")
_OWNERS = {owner for owner, _, _ in CLAIMS}
WIDTH = 220  # of a log file or a pipe
_JOBS = {
    "health monitor": ("health monitor role", "health monitor function"),
    "config sync": ("config sync role", "cross-region role", "config sync function"),
    "data canary": ("data canary role", "data canary function"),
    "switch": ("switch role", "switch function"),
    "switch takeover": ("switch takeover role", "switch takeover function"),
}
_HEAD = """# Permissions

This page lists every right that the stack grants, with the evidence that it is needed. Read it to review the stack's
IAM policies. [permissions-production.md](permissions-production.md) lists what the production preset adds.

`make prove-permissions` deploys the stack on the embedded AWS, with `two_way_documents` for the roles of both
directions. It reads all policies of roles, keys, topics and functions there, removes each action and each condition for
a moment, and restores it. It fails, and names the line, if

- a right has no scenario, or a scenario has no right,
- a request works without the right that it needs, or is refused for another reason than the missing right,
- a grant is [too wide](#too-wide),
- a policy is not as deployed at the end.

This page is its output (`make prove-permissions ARGS="--write docs/permissions.md"`). A test compares the two.

How to read a line:

- **Action**: the scenario passes with the action. Without it, AWS refuses exactly this action. If an action has several
  resources, each is removed by itself.
- **Condition** (in bold): an unintended request is refused with the condition and passes without it. If such a request
  cannot be made here, the condition gets another value ("names …") and must refuse the intended request. If a condition
  has several values, each is removed like an action.
- **Set aside**: another statement of the same policy would hide this one, so both runs are without it.
- **Roles called directly**: if no function makes a call, the proof uses a session of the role, which trusts the
  account's root for that moment.
- **Enforced**: IAM decides on the call.
- **Documented** and **not documented**: a service acts without being called (S3 replicates, CloudWatch alarms,
  EventBridge delivers, Lambda logs). The embedded AWS requires the right and refuses without it. That AWS does the same
  relies on the sentence of that number in [what the lines rest on](#what-the-lines-rest-on).
- **Key**: Parameter Store and SNS use the key that encrypts parameters and alerts. Which KMS action they need is
  documented for [Parameter Store][1] and [SNS][2].

[1]: https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html
[2]: https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html

Every line was run. Only AWS itself can show that its documentation lists every right a service needs, that the lines
without documentation hold, and how long a changed policy takes to apply everywhere. A write that names no key uses the
AWS managed key of Parameter Store, which the account's roles may use through it. Config sync always names the key.
"""
_PRODUCTION_HEAD = """# Permissions of the production stack

This page lists what the stack with the [production preset](production.md) grants in addition to
[permissions.md](permissions.md): the rights of the data canary in each region, of the switch in the standby region and
of its takeover function, and the private route that Route 53 probes.

`make prove-permissions ARGS=--production` deploys that stack and proves all its rights as the other page describes.
This page has only the lines that the other page lacks. It is the output of the run (`make prove-permissions
ARGS="--production --write docs/permissions-production.md"`). A test compares the two.

`PutItem`, `GetItem` and `Query` always name a key. The `Null` condition refuses a request without a key, which these
actions cannot make, so the condition gets another value ("names true").
"""
_RESTS_ON = """
## What the lines rest on

The sentences that the lines above rely on when a service acts without being called.
"""
_NOT_THERE = fill(
    f"**Absent.** The proof searches the account and both regions for these, and finds none: {', '.join(ABSENT)}.",
    width=120,
    break_on_hyphens=False,
)
_TOO_WIDE = f"""
## Too wide

This section covers what the lines above leave open: a grant that is wider than its scenario needs.

**Requested.** With each right of a role, the proof requests the neighbours of the granted resource: a longer name (with
`-permission-proof` added), the same name in the other region and, if the call takes an ARN, in another account. Another
role, which may assume every role, requests each role. The root of another account requests each cross-region role and
publishes to each topic. Each request must be refused because exactly this right is missing. Two kinds of rights cannot
be tried like this: a key is used through Parameter Store and SNS, and two actions are only for S3. *Refused* has their
requests, for another key and another bucket. The proof cannot act as an AWS service, so what a service may do is read.

**Read.** In all policies of roles and their trusts, keys, topics and functions, no resource and no condition has a
`*`, a `?` or a policy variable, except

- `:*` after one log group and `/*` after one bucket, because names of log streams and documents are not known before,
- `*` as the resource in a key's policy, where it means that key,
- `alarm:*` for the alarms that may publish to a topic and use its key for that: all alarms of the account in that
  region.

An action with a wildcard needs a line of its own above. The principal of each statement is the intended one, no
statement has an element such as `NotResource`, and each owner has one policy of a kind.

{_NOT_THERE}

**Not checked**:

- resource policies of parameters, which the embedded AWS does not have, and of resources that are not in the stack,
  such as queues and secrets,
- other ways to send data out: subscribers by mail and https, actions of alarms, log subscription filters, destinations
  of functions,
- other regions,
- everyone who can change the stack, that is, the account's administrators and the role that deploys.

The embedded AWS lists KMS grants but evaluates none, so the proof does not try what a grant allows.
"""


def _shortener(stack: Deployment) -> Callable[[str], str]:
    """Return a function that makes names readable, and the same in every run."""

    def short(text: str) -> str:
        for side in SIDES:
            text = text.replace(stack.value(f"{side}_kms_key_arn"), f"kms {stack.region(side)} our key")
        text = re.sub(r"key/[0-9a-f-]{36}", "another key", text)
        text = re.sub(r"arn:aws:(\w+):([\w-]*):\d*:", lambda m: " ".join(filter(None, m.groups())) + " ", text)
        return text.replace(stack.aws.account_id, "ACCOUNT")

    return short


def as_data(stack: Deployment, report: Report) -> dict[str, Any]:
    """The report as JSON: every line with names made readable.

    Args:
        stack: The deployment.
        report: The results.
    """
    short = _shortener(stack)
    return {
        "passed": not report.gaps,
        "gaps": [short(gap) for gap in report.gaps],
        "rights": [_line(proof, short) for proof in report.proofs],
        "refused": [_refused_line(refused, short) for refused in report.refused],
        "neighbours": list(_neighbours(report.asked, short)),
        "jobs": list(_jobs(report.proofs)),
    }


def _line(proof: Proof, short: Callable[[str], str]) -> dict[str, Any]:
    row = proof.row
    condition = row.condition if not row.value else f"{row.condition} = {row.value}"
    return {
        "role": f"{row.policy.owner}, {row.policy.side}: {row.sid}",
        "action": row.action,
        "resource": short(row.resource),
        "condition": short(condition),
        "scenario": proof.scenario.text + (f" ({short(proof.how)})" if proof.how else ""),
        "with": short(proof.with_it),
        "without": short(proof.without_it),
        "basis": asdict(basis) if (basis := ALL_CLAIMS[proof.row.claim].basis) else None,
        "production": row.claim not in CLAIMS,
        "proven": proof.proven,
    }


def _refused_line(refused: Refused, short: Callable[[str], str]) -> dict[str, Any]:
    return {
        "role": f"{refused.owner}, {refused.side}",
        "request": refused.scenario.text,
        "found": short(refused.found),
        "production": refused.owner not in _OWNERS,
        "proven": refused.proven,
    }


def _neighbours(asked: Sequence[Asked], short: Callable[[str], str]) -> Iterator[dict[str, Any]]:
    """A line for each right on each resource whose neighbours were requested."""
    lines: dict[tuple[str, str, str], list[Asked]] = {}
    for ask in asked:
        lines.setdefault((f"{ask.owner}, {ask.side}", ask.action, short(ask.granted)), []).append(ask)
    for (role, action, granted), asks in lines.items():
        refused = [ask.neighbour for ask in asks if ask.refused]
        allowed = [ask.neighbour for ask in asks if not ask.refused]
        found = "; ".join(
            f"{what}: {', '.join(which)}" for what, which in (("refused", refused), ("allowed", allowed)) if which
        )
        yield {
            "role": role,
            "action": action,
            "granted": granted,
            "found": found,
            "production": asks[0].owner not in _OWNERS,
            "proven": not allowed,
        }


def _jobs(proofs: Sequence[Proof]) -> Iterator[dict[str, Any]]:
    for function, owners in _JOBS.items():
        for side in SIDES:
            tried = {
                proof.scenario.text: proof.with_it == PASSES
                for proof in proofs
                if proof.row.policy.owner in owners
                and proof.row.policy.side == side
                and not (proof.row.condition and not proof.row.value)
            }
            if tried:
                yield {
                    "function": f"{function}, {side}",
                    "job": sorted(tried),
                    "production": owners[0] not in _OWNERS,
                    "done": all(tried.values()),
                }


def print_report(data: dict[str, Any]) -> None:
    """Print the report on stdout."""
    out = Console(highlight=False)
    if not out.is_terminal:
        out.width = WIDTH
    table = Table(title="Rights", title_justify="left", header_style="bold")
    for column in COLUMNS:
        table.add_column(column, overflow="fold", ratio=2 if column in {"resource", "scenario"} else 1)
    owner = ""
    for line in data["rights"]:
        if owner != (owner := line["role"].partition(":")[0]):
            table.add_section()
        table.add_row(*(line[column] for column in COLUMNS), style=None if line["proven"] else "red")
    out.print(table)
    refused = Table("role", "request", "found", title="Refused", title_justify="left", header_style="bold")
    for line in data["refused"]:
        refused.add_row(line["role"], line["request"], line["found"], style=None if line["proven"] else "red")
    out.print(refused)
    neighbours = Table(*NEIGHBOURS, title="Too wide", title_justify="left", header_style="bold")
    for line in data["neighbours"]:
        neighbours.add_row(*(line[column] for column in NEIGHBOURS), style=None if line["proven"] else "red")
    out.print(neighbours)
    for gap in data["gaps"]:
        out.print(f"gap: {gap}", markup=False, soft_wrap=True)
    lines = [*data["rights"], *data["refused"], *data["neighbours"]]
    proven = sum(line["proven"] for line in lines)
    out.print(f"{proven} of {len(lines)} lines proven, {len(data['gaps']) or 'no'} gap{'s' * (len(data['gaps']) > 1)}")


def as_markdown(data: dict[str, Any], *, production: bool = False) -> str:
    """Return docs/permissions.md.

    Args:
        data: The report.
        production: Return docs/permissions-production.md, with what the production preset grants in addition.
    """
    if production:
        lines = {kind: [line for line in data[kind] if line["production"]] for kind in _KINDS}
        return _PRODUCTION_HEAD + _tables(lines, "\n## Too wide\n\nThe neighbours of these rights.\n")
    return _HEAD + _tables(data, _TOO_WIDE)


def _tables(data: Mapping[str, Any], too_wide: str) -> str:
    parts = ["\n## Rights\n", _row([*COLUMNS, "how"]), _row(["---"] * 8)]
    bases: list[dict[str, Any]] = []
    for line in data["rights"]:
        condition = line["condition"] and f"**{line['condition']}**"
        how = "enforced"
        if basis := line["basis"]:
            if basis not in bases:
                bases.append(basis)
            how = f"{_kind(basis)}, {bases.index(basis) + 1}"
        cells = [line["role"], f"`{line['action']}`", f"`{line['resource']}`", condition]
        parts.append(_row([*cells, *(line[column] for column in ("scenario", "with", "without")), how]))
    parts += [_RESTS_ON, _row(["", "kind", "page", "section", "its statement, in our words"]), _row(["---"] * 5)]
    for number, basis in enumerate(bases, start=1):
        page = f"[{basis['page'].removeprefix('https://').removesuffix('.html')}]({basis['page']})"
        parts.append(_row([str(number), _kind(basis), page, basis["section"], basis["says"]]))
    parts += [
        "\n## Whole jobs\n\nEach function has its own policy and no other, and does all of this with it. The rules as "
        "deployed also copy a\nparameter that changes in either region to the other one.\n",
        _row(["function", "job", "done"]),
        _row(["---"] * 3),
    ]
    parts += [_row([job["function"], "; ".join(job["job"]), "yes" if job["done"] else "no"]) for job in data["jobs"]]
    parts += [
        "\n## Refused\n\nRequests with the policies as deployed: for something else with an action of the role, and "
        "for actions that the role\nmust not have. Reading a secret without the key is `kms:Decrypt` above.\n",
        _row(["role", "request", "found"]),
        _row(["---"] * 3),
    ]
    parts += [_row([line["role"], line["request"], line["found"]]) for line in data["refused"]]
    parts += [too_wide, _row(NEIGHBOURS), _row(["---"] * len(NEIGHBOURS))]
    parts += [
        _row([line["role"], f"`{line['action']}`", f"`{line['granted']}`", line["found"]])
        for line in data["neighbours"]
    ]
    return "\n".join(parts) + "\n"


def _kind(basis: dict[str, Any]) -> str:
    return "documented" if basis["documented"] else "not documented"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
