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

Every right that the stack grants, and what shows that it is needed. `make prove-permissions` deploys the stack, with
`two_way_documents` for the roles of both directions, on the embedded AWS, reads all policies from there (of roles,
keys, topics and functions), takes each action and each condition away for a moment, and puts it back. It fails, and
names the line, when a right has no scenario, when a scenario has lost its right, when something works without the
right that it is said to need, when something is refused for another reason than the missing right, when something is
granted [too widely](#too-wide), and when a policy is not as deployed at the end. This file is what it wrote (`make
prove-permissions ARGS="--write docs/permissions.md"`); a test compares the two.

[permissions-production.md](permissions-production.md) has what the production preset grants besides.

How to read a line:

- An **action**: the scenario passes *with* it, and without it AWS refuses this very action. Of an action on several
  resources, each is taken away by itself.
- A **condition** (in bold): a request that is not meant is refused *with* it, and passes without it. Where such a
  request cannot be made here, the condition is turned round ("names …"): then the request that is meant is the wrong
  one. Each value of a condition that has several is taken away like an action.
- **Set aside**: another statement of the same policy would hide this one, so it is taken away for both runs.
- **Roles called directly**: where no function makes a call, the proof takes a session of the role, which trusts the
  account's root for that moment.
- **Enforced**: IAM decides on the call as it is made. **Documented** and **not documented**: a service acts without
  being called (S3 replicates, CloudWatch alarms, EventBridge delivers, Lambda logs). The embedded AWS asks for the
  right and refuses without it. That AWS does the same rests on the sentence of that number in
  [what the lines rest on](#what-the-lines-rest-on). No line is only compared with a page: all are run.
- The key that encrypts parameters and alerts is used through Parameter Store and SNS; which KMS action they ask for is
  [documented](https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html)
  [as well](https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html).

What only AWS itself can show: that its documentation lists every right a service asks for; what is not documented;
how long a changed policy takes to be in force everywhere. A write that names no key takes the AWS managed key of
Parameter Store, which the account's roles may use through it; the sync always names the key.
"""
_PRODUCTION_HEAD = """# Permissions of the production stack

What the stack with the [production preset](production.md) grants besides what is in [permissions.md](permissions.md):
the rights of the data canary in each region, of the switch in the standby region and of the function that sets it by
itself, and the private route that Route 53 probes. `make prove-permissions ARGS=--production` deploys that stack and
proves all its rights, those of the other page too, in the way that page describes. This page has only the lines that
are not there. It is what the run wrote (`make prove-permissions ARGS="--production --write
docs/permissions-production.md"`); a test compares the two.

`PutItem`, `GetItem` and `Query` always name a key. So the request that the `Null` condition refuses, one without a key,
cannot be made with these actions, and the condition is turned round ("names true").
"""
_RESTS_ON = """
## What the lines rest on

The sentences behind the lines above that a service causes without being called.
"""
_NOT_THERE = fill(
    "**Not there.** The proof looks in the account and in both regions for what else could act or let others act, and "
    f"finds none of these: {'; '.join(ABSENT)}.",
    width=120,
    break_on_hyphens=False,
)
_TOO_WIDE = f"""
## Too wide

What the lines above leave open: more is granted than its scenario needs.

**Asked for.** With each right of a role, the proof asks for the neighbours of what the right is about: a longer name
(`-permission-proof` is added to it), the same name in the other region and, where the call takes an ARN, in another
account. Another role, which may assume every role, asks for each role. The root of another account asks for each
cross-region role and publishes to each topic. Each must be refused for lack of this very right. Two kinds of rights
cannot be tried like this: a key is used through Parameter Store and SNS, and two actions are for S3 alone. *Refused*
has their requests, for another key and another bucket. Nor can the proof act as an AWS service: what a service may do
is read.

**Read.** In all that the policies of roles and their trusts, keys, topics and functions allow, no resource and no
condition has a `*`, a `?` or a policy variable, except

- `:*` after one log group and `/*` after one bucket, because names of log streams and documents are not known before;
- `*` as the resource in a key's policy, where it means that key;
- `alarm:*` in who may publish to a topic and use its key for that: all alarms of the account in that region.

An action with a wildcard needs a line of its own above. The principal of each statement is the one that the statement
is for, no statement has an element such as `NotResource`, and each owner has one policy of a kind.

{_NOT_THERE}

**Not looked at**: resource policies of parameters, which the embedded AWS does not have; other regions; who can change
the stack, that is, the account's administrators and who deploys. The embedded AWS lists KMS grants but evaluates
none, so what a grant allows is not tried.
"""


def _shortener(stack: Deployment) -> Callable[[str], str]:
    """Make names readable, and the same in every run."""

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
        stack: The deployment that it is about.
        report: What was found.
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
    """A line for each right on each thing, whose neighbours were asked for."""
    lines: dict[tuple[str, str, str], list[Asked]] = {}
    for ask in asked:
        lines.setdefault((f"{ask.owner}, {ask.side}", ask.action, short(ask.granted)), []).append(ask)
    for (role, action, granted), asks in lines.items():
        refused = [ask.neighbour for ask in asks if ask.refused]
        let_in = [ask.neighbour for ask in asks if not ask.refused]
        found = "; ".join(
            f"{what}: {', '.join(which)}" for what, which in (("refused", refused), ("let in", let_in)) if which
        )
        yield {
            "role": role,
            "action": action,
            "granted": granted,
            "found": found,
            "production": asks[0].owner not in _OWNERS,
            "proven": not let_in,
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
    """docs/permissions.md.

    Args:
        data: The report.
        production: Make docs/permissions-production.md of it, which has what the production preset grants besides.
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
    parts += [_RESTS_ON, _row(["", "kind", "page", "section", "what it says, in our words"]), _row(["---"] * 5)]
    for number, basis in enumerate(bases, start=1):
        page = f"[{basis['page'].removeprefix('https://').removesuffix('.html')}]({basis['page']})"
        parts.append(_row([str(number), _kind(basis), page, basis["section"], basis["says"]]))
    parts += [
        "\n## Whole jobs\n\nEach function has its own policy and no other, and with it does all of this. Besides, by "
        "the rules as deployed, a\nparameter that is changed in either region is copied to the other one.\n",
        _row(["function", "job", "done"]),
        _row(["---"] * 3),
    ]
    parts += [_row([job["function"], "; ".join(job["job"]), "yes" if job["done"] else "no"]) for job in data["jobs"]]
    parts += [
        "\n## Refused\n\nRequests with the policies as deployed: for something else with an action that the role has, "
        "and for what the role\nmust not do at all. Reading a secret without the key is `kms:Decrypt` above.\n",
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
