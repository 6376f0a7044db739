"""The rules of the gate, by what they judge.

A rule of level "error" stops a plan whenever it finds something. One of level "warning" stops it only if a resource
that is there loses something: a table that never had a protection is no fault of this change. A note never stops, and
no rule stops a plan in which nothing fails over and nothing is copied.
"""

from typing import Final

from payment_dr.operations.gate.rules.alarms import RULES as ALARMS
from payment_dr.operations.gate.rules.base import Rule
from payment_dr.operations.gate.rules.control_plane import RULES as CONTROL_PLANE
from payment_dr.operations.gate.rules.data import RULES as DATA
from payment_dr.operations.gate.rules.dns import RULES as NAMES
from payment_dr.operations.gate.rules.health_checks import RULES as HEALTH_CHECKS
from payment_dr.operations.gate.rules.serving import RULES as SERVING

_ALL: Final[tuple[Rule, ...]] = (*NAMES, *HEALTH_CHECKS, *ALARMS, *DATA, *SERVING, *CONTROL_PLANE)
RULES: Final = {rule.id: rule for rule in _ALL}
