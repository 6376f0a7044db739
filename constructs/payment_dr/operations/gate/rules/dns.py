"""Rules for names: their records, policies and times."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from payment_dr.operations.gate.executed import Executed
from payment_dr.operations.gate.rules.base import ROUTE53_GUIDE, Found, Rule, State
from payment_dr.operations.gate.topology import is_region


def _inconsistent(state: State) -> Iterator[Found]:
    for name in state.judged:
        records = list(name.entries)
        policies = {entry.record.routing for entry in records}
        if len(policies) > 1:
            what = f"shares its name with records of other routing policies: {', '.join(sorted(policies))}"
            yield Found(records[0].address, what)
        identifiers = Counter(entry.record.set_identifier for entry in records if entry.record.routing != "simple")
        for identifier, count in identifiers.items():
            if count > 1 and identifier is not None:
                same = [entry.address for entry in records if entry.record.set_identifier == identifier]
                yield Found(same[-1], f"has the same set identifier as {same[0]}: {identifier}")
        plain_records = [entry for entry in records if not entry.is_alias]
        ttls = {entry.record.ttl_seconds for entry in plain_records}
        if "weighted" in policies and len(ttls) > 1:
            yield Found(
                plain_records[-1].address,
                f"has a different TTL than the other records of {name.key.fqdn}: {sorted(ttls)} s",
            )


_ACTIVE: Final = re.compile(r"(?<![a-z])(prim(ary)?|active|main)(?![a-z])", re.IGNORECASE)
_STANDBY: Final = re.compile(r"second|standby|passiv|backup|failover", re.IGNORECASE)


def _contradicting(state: State) -> Iterator[Found]:
    for name in state.judged:
        for entry in name.entries:
            identifier, record = entry.record.set_identifier or "", entry.record
            standby_answers = any(
                each.record.weight and _STANDBY.search(each.record.set_identifier or "") for each in name.entries
            )
            if record.routing == "weighted" and not record.weight and standby_answers and _ACTIVE.search(identifier):
                yield Found(entry.address, f"has weight 0, but is named {identifier}")
            if record.failover == "SECONDARY" and _ACTIVE.search(identifier) and not _STANDBY.search(identifier):
                yield Found(entry.address, f"is the SECONDARY record, but is named {identifier}")


def _traffic_moves(after: State, before: State) -> Iterator[Found]:
    for name in after.judged:
        old = before.model.names.get(name.key)
        if not old or not old.normal or not name.normal:
            continue
        created = (entry for entry in name.entries if entry.resource.action == "create")
        added = frozenset().union(*map(after.model.home, created))
        # Two hosts of no known region may be blue and green; a record that is new is meant to get clients.
        if any(is_region(place) for place in (name.normal - added) ^ (old.normal - added)):
            was, is_ = ", ".join(sorted(old.normal)), ", ".join(sorted(name.normal))
            changed = [entry for entry in name.entries if entry.resource.action != "no-op"]
            address = (changed or list(name.entries))[0].address
            yield Found(address, f"moves clients of {name.key.fqdn} although no region has failed: {was} -> {is_}")


def _name_lost(after: State, before: State) -> Iterator[Found]:
    for name in before.judged:
        new = after.model.names.get(name.key)
        fqdn = name.key.fqdn
        if new is None:
            if not any(each.key.fqdn == fqdn and each.key.type in ("A", "CNAME") for each in after.judged):
                yield Found(name.entries[0].address, f"is destroyed, and no record answers {fqdn} ({name.key.type})")
        elif not new.fails_over and len(name.regions) > 1:
            if found := blamed(after, before, name):
                yield found
            elif not new.unclear:
                where = ", ".join(sorted(new.regions)) or "one place"
                yield Found(new.entries[0].address, f"leads to {where}, and no record of {fqdn} to another region")


def blamed(after: State, before: State | None, name: Executed) -> Found | None:
    """The record that a name has lost, or that now leads to the region of another one; None if there is none."""
    old = before.topology.names.get(name.key, ()) if before else ()
    regions = ", ".join(sorted(after.model.regions(name.key))) or "no region"
    for entry in old:
        if entry.address not in after.view.resources:
            return Found(entry.address, f"is destroyed, and {name.key.fqdn} leads only to {regions}")
    for entry in old:
        new = after.topology.entry_at.get(entry.address)
        if not before or not new or new.unclear or any(target.kind == "unclear" for target in new.targets):
            continue
        if after.model.home(new) != before.model.home(entry):
            was, is_ = (", ".join(sorted(home)) for home in (before.model.home(entry), after.model.home(new)))
            return Found(entry.address, f"leads to {is_ or 'no region'} instead of {was}")
    return None


_CHOOSES: Final = f"{ROUTE53_GUIDE}health-checks-how-route-53-chooses-records.html"
_TYPES: Final = f"{ROUTE53_GUIDE}dns-failover-types.html"
_WEIGHTED: Final = f"{ROUTE53_GUIDE}routing-policy-weighted.html"

RULES: Final = (
    # What the model finds; `verdict` names the cause.
    Rule(
        "no-health-check",
        "A record has no health check, so Route 53 answers with it even when its region is down.",
        "Set its health_check_id to a health check that probes its region.",
        _CHOOSES,
    ),
    Rule(
        "alias-not-evaluated",
        "An alias has no health check and ignores the health of its target, so Route 53 always answers with it.",
        "Set evaluate_target_health = true in its alias, or give it a health_check_id.",
        _CHOOSES,
    ),
    Rule(
        "no-other-region",
        "Every record of a name leads to the failed region, so no record can take over.",
        "Add a record that leads only to another region.",
        _TYPES,
    ),
    Rule(
        "standby-not-healthy",
        "The records that should take over are unhealthy too, so Route 53 treats all records as healthy.",
        "Give the standby a health check that does not depend on the region that fails.",
        _CHOOSES,
    ),
    Rule(
        "beyond-target",
        "Clients leave a failed region later than the target allows.",
        "Lower ttl, request_interval, failure_threshold or the alarm's periods, or allow more with --target.",
        f"{ROUTE53_GUIDE}health-checks-creating-values.html",
    ),
    Rule(
        "traffic-moves",
        "The change moves clients to another region although no region has failed.",
        "Restore the weight, role or target. To move clients on purpose, make a separate change and skip the gate.",
        _WEIGHTED,
        change=_traffic_moves,
    ),
    Rule(
        "name-lost",
        "A name that fails over loses its second region or all of its records.",
        "Keep a record for each region.",
        _TYPES,
        change=_name_lost,
    ),
    Rule(
        "records-differ",
        "Records of one name mix routing policies, share a set identifier, or are weighted with different TTLs.",
        "Use one policy and one TTL, and a different set_identifier for each record.",
        f"{ROUTE53_GUIDE}resource-record-sets-values-weighted.html",
        check=_inconsistent,
    ),
    Rule(
        "weights-contradict",
        "Clients get the record named standby instead of the record named active.",
        "Swap the weights or the roles, or rename the records.",
        _WEIGHTED,
        "warning",
        check=_contradicting,
    ),
)
