import importlib.metadata

import pytest

from embedded_aws import emulator


def test_the_installed_ministack_is_the_one_that_the_patches_are_for() -> None:
    emulator.check_version()


def test_another_ministack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _name: "1.6.0")

    with pytest.raises(SystemExit, match=r"ministack 1\.6\.0 is installed, but the patches are for 1\.5\.33\nhint: "):
        emulator.check_version()


def test_a_missing_ministack_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)

    with pytest.raises(SystemExit, match="ministack is not installed\nhint: "):
        emulator.check_version()
