"""The whole stack, synthesized once for all tests of the pages."""

import pytest

from pages.synthesis import Template, stack_of


@pytest.fixture(scope="session")
def stack() -> Template:
    """The default stack; a test that changes it takes a copy."""
    return stack_of()


@pytest.fixture(scope="session")
def with_custom_domain() -> Template:
    """The same with its custom domain."""
    return stack_of(custom_domain=True)
