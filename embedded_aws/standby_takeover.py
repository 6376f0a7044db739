"""The standby's takeover in a drill's time, which is faster than the emulator's."""

from contextlib import suppress

from botocore.exceptions import BotoCoreError, ClientError

from embedded_aws.deployment import Deployment
from embedded_aws.emulated_stack import EmulatedStack
from payment_dr.operations.deployed import OF_A_TAKEOVER

_MINUTE = 60.0


class StandbyTakeover:
    """Runs the function that sets the switch by itself once a minute, as its schedule does.

    A run begins and ends at one moment of drill time, so the switch is set up to 36 s earlier than on AWS. The first
    run comes at once. It finds the primary healthy: otherwise no later run would set the switch.

    Args:
        deployment: The deployment with the function.
        stack: The deployed stack.

    Example:
        >>> takeover = StandbyTakeover(deployment, stack)  # doctest: +SKIP
        >>> takeover(61.0)  # doctest: +SKIP
    """

    def __init__(self, deployment: Deployment, stack: EmulatedStack) -> None:
        self._function = str(deployment.value(OF_A_TAKEOVER))
        self._lambda = deployment.aws.client("lambda", stack.region("secondary"))
        self._next_run = 0.0

    def __call__(self, at: float) -> None:
        """Advance drill time to a time in seconds, which must not go back."""
        while self._next_run <= at:
            self._next_run += _MINUTE
            # A region that takes no calls runs nothing. A run of more than a minute of real time ends by itself.
            with suppress(BotoCoreError, ClientError):
                self._lambda.invoke(FunctionName=self._function)
