"""A rule, and one side of a plan as the rules see it."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from payment_dr.operations.gate.executed import Executed, Model
from payment_dr.operations.gate.plan import Resource, View
from payment_dr.operations.gate.topology import Copy, Entry, Topology
from payment_dr.operations.route53.zone import CalculatedCheck

Level = Literal["error", "warning", "note"]
ROUTE53_GUIDE: Final = "https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/"
ROUTE53_API: Final = "https://docs.aws.amazon.com/Route53/latest/APIReference/"
RELIABILITY: Final = "https://docs.aws.amazon.com/wellarchitected/latest/reliability-pillar/"

# Services that forward clients to a function.
_FRONTS: Final = ("apigateway", "elasticloadbalancing")


class State:
    """One side of a plan: its resources, its topology and the model of both."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.topology = Topology(view)
        self.model = Model(self.topology)
        self._belonging: dict[tuple[str, str], dict[str, list[Resource]]] = {}

    @cached_property
    def judged(self) -> list[Executed]:
        """The names that are meant to fail over."""
        return [each for each in self.model.names.values() if each.fails_over]

    @cached_property
    def entries(self) -> list[tuple[Executed, Entry]]:
        """The records of these names, as far as a policy chooses between them."""
        return [(name, entry) for name in self.judged for entry in name.entries if entry.record.routing != "simple"]

    @cached_property
    def deciding(self) -> dict[str, Entry]:
        """The health checks that decide on these records, children too, each with a record."""
        found: dict[str, Entry] = {}
        for _, entry in self.entries:
            check = entry.record.health_check_id
            for each in self.parts(check) if check else ():
                found.setdefault(each, entry)
        return found

    def parts(self, check: str) -> list[str]:
        """A health check and its children, as far as the plan has them."""
        found = self.topology.checks.get(check)
        children = found.children if isinstance(found, CalculatedCheck) else ()
        return [each for each in (check, *children) if each in self.topology.checks]

    @cached_property
    def regions(self) -> frozenset[str]:
        """The regions that the names lead to."""
        return frozenset().union(*(name.regions for name in self.judged))

    @cached_property
    def serving(self) -> frozenset[str]:
        """The addresses of what the records lead to."""
        entries = (entry for name in self.judged for entry in name.entries)
        return frozenset(target.address for entry in entries for target in entry.targets)

    @property
    def takes_part(self) -> bool:
        """Whether anything fails over, or is copied."""
        return bool(self.judged or self.copies)

    @cached_property
    def copies(self) -> tuple[Copy, ...]:
        """The data that are copied."""
        return self.topology.copies

    def belonging(self, kind: str, attribute: str) -> dict[str, list[Resource]]:
        """The resources of a kind by the addresses of what their attribute names."""
        if (kind, attribute) not in self._belonging:
            found: dict[str, list[Resource]] = defaultdict(list)
            for each in self.view.of_type(kind):
                for parent in self.view.behind(each, attribute).resources:
                    found[parent.address].append(each)
            self._belonging[kind, attribute] = found
        return self._belonging[kind, attribute]

    def parents(self, kind: str, attribute: str, parent_kind: str) -> dict[str, str]:
        """What the resources of a kind belong to in their region, each with one of them."""
        found: dict[str, str] = {}
        for parent, parts in self.belonging(kind, attribute).items():
            region = "" if kind.startswith("aws_iam") else self.region_of(parent)
            here = [each.address for each in parts if region in ("", self.topology.region_of(each)) and _is_front(each)]
            if here and self.view.resources[parent].type == parent_kind:
                found[parent] = here[0]
        return found

    def region_of(self, address: str) -> str:
        """The region of a resource by its address."""
        resource = self.view.resources.get(address)
        return self.topology.region_of(resource) if resource else ""


@dataclass(frozen=True)
class Found:
    """A finding: the address, and what is wrong there, which continues the sentence."""

    address: str
    what: str


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        id: Its name.
        sentence: What is wrong.
        hint: What to change.
        page: AWS's page behind it.
        level: When it stops a plan: see ``rules/__init__.py``.
        check: Finds it on one side of the plan. Default: the model finds it.
        change: Finds it by comparing both sides: after, before.
        also_created: Whether a warning also stops a plan that creates the resource.
    """

    id: str
    sentence: str
    hint: str
    page: str
    level: Level = "error"
    check: Callable[[State], Iterator[Found]] | None = None
    change: Callable[[State, State], Iterator[Found]] | None = None
    also_created: bool = False


def _is_front(part: Resource) -> bool:
    """Whether a permission lets clients in; other parts do."""
    return part.type != "aws_lambda_permission" or part.text("principal").startswith(_FRONTS)
