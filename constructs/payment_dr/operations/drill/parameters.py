"""The parameter that a drill rotates in each region that serves, and then reads in the other one."""

import secrets
import time
from typing import Any

from payment_dr.operations.aws import asked
from payment_dr.operations.drill.journal import RotationRecord
from payment_dr.operations.drill.outages import NOTHING_IS_LEFT, Action
from payment_dr.operations.drill.place import Place
from payment_dr.side import OTHER, SIDES, Side

COPIED_SECONDS = 15.0  # of real time, for a change event and a function that starts
POLL_SECONDS = 0.2  # of real time


class Parameters:
    """Rotates the first parameter of the stack, and restores its value.

    A parameter made for a drill would prove nothing: config sync copies the names that it was deployed with, and writes
    only where a value differs. So this is a real one, with a value that nothing else has, and a stack that others use
    is left alone. No value is logged, raised or noted in the journal.

    Args:
        place: Where the drill happens.

    Attributes:
        name: The parameter; None where none is rotated.

    Example:
        >>> parameters = Parameters(place)  # doctest: +SKIP
        >>> with undone(parameters.rotation(), journal, place.check):  # doctest: +SKIP
        ...     parameters.rotate("primary")
        ...     parameters.await_copy("primary")
        ...     parameters.compare()["copied"]
        {'primary': True}
    """

    def __init__(self, place: Place) -> None:
        self._stack = place.stack
        names: list[str] = self._stack.outputs["ssm_parameter_names"]
        self.name = None if place.shares_its_table or not names else names[0]
        self._former: dict[Side, str] = {}
        self._key_of: dict[Side, str] = {}
        self._written: dict[Side, str] = {}
        self._copied: dict[Side, bool] = {}

    def rotation(self) -> Action:
        """Remembers the parameter's value; the undo writes it back wherever there is another one."""
        return Action(f"rotate {self.name}", self._remember, self._restore, hint=NOTHING_IS_LEFT)

    def rotate(self, side: Side) -> None:
        """Write a value that is nowhere yet into the region that serves; nothing where no parameter is rotated.

        Raises:
            CannotTellError: Parameter Store does not take it.
        """
        if self.name is not None:
            self._written[side] = f"dr-drill-{secrets.token_hex(16)}"
            self._put(side, self._written[side])

    def await_copy(self, side: Side) -> bool:
        """Wait until the other region has the last value of this one, for `COPIED_SECONDS` at most.

        Args:
            side: The side of the region in which it was written.

        Returns:
            Whether the other region has it.

        Raises:
            CannotTellError: The other region does not answer.
        """
        deadline = time.monotonic() + COPIED_SECONDS
        while not self.is_copied(side) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return self.is_copied(side)

    def is_copied(self, side: Side) -> bool:
        """Whether the other region has had the last value that was written in this one. True if none was."""
        if side in self._written and not self._copied.get(side):
            self._copied[side] = self._value(OTHER[side]) == self._written[side]
        return self._copied.get(side, True)

    def all_copied(self) -> bool:
        """Whether the last value has arrived. A value that was replaced meanwhile does not arrive."""
        return not self._written or self.is_copied(list(self._written)[-1])

    def compare(self) -> RotationRecord | None:
        """What was rotated where, and whether it was copied; None where no parameter is rotated."""
        if self.name is None:
            return None
        return {"name": self.name, "copied": {side: self._copied.get(side, False) for side in self._written}}

    def _remember(self) -> None:
        for side in SIDES:
            self._former[side] = self._value(side)
            described = self._ask(
                side, "describe_parameters", ParameterFilters=[{"Key": "Name", "Values": [self.name]}]
            )
            self._key_of[side] = str(described["Parameters"][0]["KeyId"])

    def _restore(self) -> None:
        # In both regions: config sync would copy it, and may be what does not work.
        for side, value in self._former.items():
            if self._value(side) != value:
                self._put(side, value)

    def _value(self, side: Side) -> str:
        return str(self._ask(side, "get_parameter", Name=self.name, WithDecryption=True)["Parameter"]["Value"])

    def _put(self, side: Side, value: str) -> None:
        # Without KeyId the account's AWS managed key would take the place of the stack's.
        self._ask(
            side,
            "put_parameter",
            Name=self.name,
            Value=value,
            Type="SecureString",
            KeyId=self._key_of[side],
            Overwrite=True,
        )

    def _ask(self, side: Side, operation: str, **arguments: Any) -> Any:
        # An error of AWS's may quote a value; what `asked` raises has its code alone.
        client = self._stack.client("ssm", side)
        return asked(f"Parameter Store in {self._stack.region(side)}", lambda: getattr(client, operation)(**arguments))
