"""The two sides of a pair of regions: the primary, which is active, and the secondary, which is the standby."""

from collections.abc import Mapping
from typing import Final, Literal

Side = Literal["primary", "secondary"]
SIDES: Final[tuple[Side, Side]] = ("primary", "secondary")
OTHER: Final[Mapping[Side, Side]] = {"primary": "secondary", "secondary": "primary"}
