"""Reusable CDK for Terraform constructs for active-passive disaster recovery across two AWS regions.

Import from this package before `cdktf` or `constructs`, so that jsii runs on the Node that comes with it.

The constructs load with the first name that is used, so that `dr`, which lives beside them, starts without Node.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .library import *  # noqa: F403
    from .library import __all__ as __all__

__version__ = "0.2.0"  # here alone: pyproject.toml reads it from this line


def __getattr__(name: str) -> Any:
    library = import_module(f"{__name__}.library")
    if name == "__all__" or name in library.__all__:
        return getattr(library, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *import_module(f"{__name__}.library").__all__})
