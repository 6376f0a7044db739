import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tf.iface import CreateContext  # type: ignore[import-untyped]
from tf.types import Unknown  # type: ignore[import-untyped]
from tf.utils import Diagnostics  # type: ignore[import-untyped]

from embedded_aws.stand_in_providers.random_password import CLASSES, Random, RandomPassword, complaints, password


def create(planned: dict[str, Any]) -> tuple[dict[str, Any] | None, Diagnostics]:
    diagnostics = Diagnostics()
    return RandomPassword(Random()).create(CreateContext(diagnostics, "random_password"), planned), diagnostics


@given(
    length=st.integers(1, 64),
    switches=st.fixed_dictionaries({name: st.booleans() for name in CLASSES}),
)
def test_a_password_has_its_length_and_only_the_classes_that_are_on(length: int, switches: dict[str, bool]) -> None:
    settings = {"length": length, **switches}
    if not any(switches.values()):
        with pytest.raises(ValueError, match="at least one of"):
            password(settings)
        return
    drawn = password(settings)
    allowed = "".join(alphabet for name, alphabet in CLASSES.items() if switches[name])
    assert len(drawn) == length
    assert set(drawn) <= set(allowed)


def test_every_minimum_is_met() -> None:
    minima = {"min_upper": 2, "min_lower": 3, "min_numeric": 4, "min_special": 5}
    drawn = password({"length": 14, **minima})
    for name, alphabet in CLASSES.items():
        assert sum(each in alphabet for each in drawn) == minima[f"min_{name}"], (name, drawn)


def test_a_minimum_of_a_class_that_is_off_is_met_as_in_the_real_provider() -> None:
    drawn = password({"length": 8, "special": False, "min_special": 2})
    assert sum(each in CLASSES["special"] for each in drawn) == 2


def test_override_special_replaces_the_special_characters() -> None:
    drawn = password({"length": 40, "upper": False, "lower": False, "numeric": False, "override_special": "_-"})
    assert set(drawn) == {"_", "-"}


def test_required_characters_are_not_always_in_front() -> None:
    settings = {"length": 12, "min_numeric": 1, "numeric": False, "special": False}
    places = {next(i for i, each in enumerate(password(settings)) if each in string.digits) for _ in range(200)}
    assert len(places) > 1


def test_two_passwords_differ() -> None:
    assert password({"length": 32}) != password({"length": 32})


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"length": 0}, "length must be at least 1, not 0"),
        ({"length": 4, "min_upper": 3, "min_lower": 2}, "min_special = 5"),
        ({"length": 9, "number": True, "numeric": False}, "must agree"),
    ],
)
def test_a_configuration_that_cannot_be_met_is_refused(config: dict[str, Any], complaint: str) -> None:
    (found,) = complaints(config)
    assert complaint in found


def test_values_that_are_not_known_yet_are_not_complained_about() -> None:
    assert list(complaints({"length": Unknown, "min_upper": 3, "numeric": Unknown, "number": True})) == []
    assert list(complaints({"length": 1, "min_upper": Unknown})) == []


@pytest.mark.parametrize(
    ("planned", "numeric"),
    [
        ({"numeric": Unknown, "number": Unknown}, True),
        ({"numeric": False, "number": Unknown}, False),
        ({"numeric": Unknown, "number": False}, False),
    ],
)
def test_number_and_numeric_follow_each_other(planned: dict[str, Any], numeric: bool) -> None:
    state, _ = create({"length": 64, **planned})
    assert state is not None
    assert (state["number"], state["numeric"]) == (numeric, numeric)
    assert any(each in string.digits for each in state["result"]) is numeric


def test_the_state_has_the_id_of_the_real_provider_and_no_made_up_hash() -> None:
    state, _ = create({"length": 20})
    assert state is not None
    assert (state["id"], state["bcrypt_hash"]) == ("none", None)
    assert len(state["result"]) == 20


def test_a_draw_that_fails_becomes_a_diagnostic() -> None:
    state, diagnostics = create({"length": 2, "min_upper": 3})
    assert state is None
    assert "length must be at least" in diagnostics.diagnostics[0].detail


def test_the_secrets_are_marked_sensitive() -> None:
    sensitive = {each.name for each in RandomPassword.get_schema().attributes if each.sensitive}
    assert sensitive == {"result", "bcrypt_hash"}
