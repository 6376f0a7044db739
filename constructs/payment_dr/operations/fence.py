"""The fence of a region: a reserved concurrency of 0 stops its health function, so that its probe fails.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from payment_dr.operations.aws import asked
from payment_dr.operations.deployed import Deployed
from payment_dr.side import Side


def reserve(stack: Deployed, side: Side, concurrency: int | None) -> None:
    """Set the reserved concurrency of a region's health function.

    Args:
        stack: The deployed stack.
        side: The region.
        concurrency: 0 sets the fence. None removes the setting, and the fence with it.

    Raises:
        CannotTellError: Lambda rejects the call, or does not answer.
    """
    client, name = stack.client("lambda", side), stack.output(side, "health_monitor_function_name")

    def change() -> None:
        if concurrency is None:
            client.delete_function_concurrency(FunctionName=name)
        else:
            client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=concurrency)

    asked(f"Lambda in {stack.region(side)}", change)
