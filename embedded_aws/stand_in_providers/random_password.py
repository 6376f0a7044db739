# mypy: allow-subclassing-any, disable-error-code="import-untyped"
"""Stand-in for the provider hashicorp/random: resource ``random_password``.

Arguments and results are those of the real provider (registry.terraform.io/providers/hashicorp/random, resource
random_password), drawn from the operating system's cryptographic generator. Two things differ. ``bcrypt_hash`` is null,
because there is no bcrypt library here and an invented hash would be wrong. And an optional argument that is removed
from the configuration keeps its last value, while the real provider plans a return to the default.
"""

import secrets
import string
from collections.abc import Iterator
from typing import Any

from tf.iface import CreateContext, DeleteContext, Provider, ReadContext, Resource, UpdateContext
from tf.runner import run_provider
from tf.schema import Attribute, Schema
from tf.types import Bool, Map, Number, String, Unknown
from tf.utils import Diagnostics

CLASSES = {
    "upper": string.ascii_uppercase,
    "lower": string.ascii_lowercase,
    "numeric": string.digits,
    "special": "!@#$%&*()-_=+[]{}<>:?",
}

State = dict[str, Any]


def password(settings: State) -> str:
    """Draw a password.

    The minimum of a class applies even when the class is switched off, as in the real provider.

    Args:
        settings: ``length`` in characters, ``upper``/``lower``/``numeric``/``special``, ``min_*``,
            ``override_special``. A missing or None value has the provider's default.

    Raises:
        ValueError: Every class is switched off, or the minima exceed the length.

    Example:
        >>> len(password({"length": 16, "special": False}))
        16
    """
    alphabets = {**CLASSES, "special": settings.get("override_special") or CLASSES["special"]}
    drawn = [
        secrets.choice(alphabet)
        for name, alphabet in alphabets.items()
        for _ in range(int(settings.get(f"min_{name}") or 0))
    ]
    missing = int(settings["length"]) - len(drawn)
    if missing < 0:
        raise ValueError("length must be at least min_upper + min_lower + min_numeric + min_special")
    pool = "".join(alphabet for name, alphabet in alphabets.items() if settings.get(name) is not False)
    if missing and not pool:
        raise ValueError("at least one of upper, lower, numeric and special must be true")
    drawn += (secrets.choice(pool) for _ in range(missing))
    secrets.SystemRandom().shuffle(drawn)
    return "".join(drawn)


def complaints(config: State) -> Iterator[str]:
    """Yield the mistakes in a configuration, one sentence each. Values may still be unknown."""
    length: Any = config.get("length")
    minima: list[Any] = [config.get(f"min_{name}") or 0 for name in CLASSES]
    if Unknown not in (length, *minima):
        if length < 1:
            yield f"length must be at least 1, not {length}"
        elif length < sum(minima):
            yield f"length must be at least min_upper + min_lower + min_numeric + min_special = {sum(minima)}"
    number, numeric = config.get("number"), config.get("numeric")
    if {number, numeric} == {True, False}:
        yield "number (deprecated) and numeric must agree: give only numeric"


class RandomPassword(Resource):
    """The resource: drawn once, kept in the state, and drawn again when an argument or a keeper changes."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    @classmethod
    def get_name(cls) -> str:
        """Return the type's name after the provider's prefix."""
        return "password"

    @classmethod
    def get_schema(cls) -> Schema:
        """Return the schema of the real resource, version 3."""
        text, number, boolean = String(), Number(), Bool()
        argument = {"optional": True, "requires_replace": True}
        # `numeric` and `number` follow each other, which a fixed default would contradict: known once drawn.
        return Schema(
            version=3,
            attributes=[
                Attribute("length", number, required=True, requires_replace=True),
                Attribute("keepers", Map(text), **argument),
                Attribute("override_special", text, **argument),
                *(
                    Attribute(name, boolean, computed=True, default=True, **argument)
                    for name in ("upper", "lower", "special")
                ),
                Attribute("numeric", boolean, computed=True, **argument),
                Attribute("number", boolean, computed=True, deprecated=True, **argument),
                *(Attribute(f"min_{name}", number, computed=True, default=0, **argument) for name in CLASSES),
                Attribute("id", text, computed=True),
                Attribute("result", text, computed=True, sensitive=True),
                Attribute("bcrypt_hash", text, computed=True, sensitive=True),
            ],
        )

    def validate(self, diags: Diagnostics, type_name: str, config: State) -> None:
        """Report mistakes that the schema does not cover."""
        super().validate(diags, type_name, config)
        for sentence in complaints(config):
            diags.add_error("Invalid random_password", sentence)

    def create(self, ctx: CreateContext, planned: State) -> State | None:
        """Draw the password."""
        numeric = next((planned[k] for k in ("numeric", "number") if planned.get(k) not in (None, Unknown)), True)
        settings = {**planned, "numeric": numeric, "number": numeric}
        try:
            result = password(settings)
        except ValueError as error:
            ctx.diagnostics.add_error("Create Random Password Error", str(error))
            return None
        return {**settings, "id": "none", "result": result, "bcrypt_hash": None}

    def read(self, ctx: ReadContext, current: State) -> State:  # noqa: ARG002
        """Return the state: there is no real resource behind it."""
        return current

    def update(self, ctx: UpdateContext, current: State, planned: State) -> State:  # noqa: ARG002
        """Accept the plan: a change of a relevant argument replaces the resource instead."""
        return planned

    def delete(self, ctx: DeleteContext, current: State) -> None:
        """Forget it: there is no real resource behind it."""


class Random(Provider):
    """The provider: it takes no configuration."""

    def full_name(self) -> str:
        """Return the address of the provider that this one stands in for."""
        return "registry.terraform.io/hashicorp/random"

    def get_model_prefix(self) -> str:
        """Return the prefix of every type's name."""
        return "random_"

    def get_provider_schema(self, diags: Diagnostics) -> Schema:  # noqa: ARG002
        """Return the empty schema."""
        return Schema()

    def validate_config(self, diags: Diagnostics, config: State) -> None:
        """Accept: there is nothing to configure."""

    def configure_provider(self, diags: Diagnostics, config: State) -> None:
        """Accept: there is nothing to configure."""

    def get_data_sources(self) -> list[type[Any]]:
        """Return nothing: the provider has none."""
        return []

    def get_resources(self) -> list[type[Resource]]:
        """Return the one resource."""
        return [RandomPassword]


if __name__ == "__main__":
    run_provider(Random())
