"""The rules of the gate, by what they judge.

A finding of level "error" always stops the plan. A "warning" stops it only if the change adds the fault to an existing
resource: a table that never had protection is not this change's fault. A "note" never stops it. No rule stops a plan
in which nothing fails over and nothing is copied.
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
