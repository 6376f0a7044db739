"""Loads only the modules of prebuilt providers that an app uses.

The AWS provider has 2,100 modules for Python and as many for Node. Both packages load all of them when you import one:
ten seconds and 500 MB before an app's first line. https://github.com/hashicorp/terraform-cdk/issues/3753
"""

import pkgutil
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

NODE_HOOK = Path(__file__).with_name("on_demand.cjs")


def load_on_demand(package: str) -> None:
    """Import a package's modules one at a time, instead of all with the first one.

    Afterwards `from package import module`, `package.module` and `import package.module` work as always, everywhere in
    this process. A package that is already loaded stays as it is. A package that is not installed fails where you
    import it.

    Args:
        package: Name of a package whose `__init__` only imports its modules.

    Example:
        >>> load_on_demand("cdktf_cdktf_provider_aws")
        >>> from cdktf_cdktf_provider_aws.vpc import Vpc
    """
    spec = find_spec(package) if package not in sys.modules else None
    if spec is None:
        return
    module = module_from_spec(spec)  # not executed: only the import system's own attributes are there

    def modules() -> list[str]:
        return sorted(found.name for found in pkgutil.iter_modules(module.__path__))

    def get(name: str) -> Any:
        if name == "__all__":
            return modules()
        full = f"{package}.{name}"
        if name.startswith("__") or find_spec(full) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(full)

    vars(module).update(__getattr__=get, __dir__=modules)
    sys.modules[package] = module
