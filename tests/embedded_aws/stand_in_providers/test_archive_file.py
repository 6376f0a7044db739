import base64
import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tf.iface import ReadDataContext  # type: ignore[import-untyped]
from tf.types import Unknown  # type: ignore[import-untyped]
from tf.utils import Diagnostics  # type: ignore[import-untyped]

from embedded_aws.stand_in_providers.archive_file import (
    Archive,
    ArchiveError,
    ArchiveFile,
    complaints,
    results,
    zip_bytes,
)


def contents(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def modes(archive: bytes) -> dict[str, int]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {each.filename: each.external_attr >> 16 & 0o777 for each in opened.infolist()}


@pytest.fixture
def source_dir(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "package").mkdir(parents=True)
    (root / "package" / "module.py").write_text("x = 1\n")
    (root / "handler.py").write_text("def handler(event, context): ...\n")
    (root / "notes.md").write_text("not for deployment\n")
    return root


def test_a_file_is_archived_under_its_own_name(source_dir: Path) -> None:
    archive = zip_bytes({"source_file": str(source_dir / "package" / "module.py")})
    assert contents(archive) == {"module.py": b"x = 1\n"}


def test_a_directory_is_archived_with_paths_relative_to_it(source_dir: Path) -> None:
    archive = zip_bytes({"source_dir": str(source_dir)})
    assert list(contents(archive)) == ["handler.py", "notes.md", "package/module.py"]


def test_excluded_files_and_directories_stay_out(source_dir: Path) -> None:
    archive = zip_bytes({"source_dir": str(source_dir), "excludes": ["notes.md", "package"]})
    assert list(contents(archive)) == ["handler.py"]


def test_directories_behind_symlinks_are_left_out_on_request(source_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "extra.py").write_text("")
    (source_dir / "linked").symlink_to(tmp_path / "elsewhere")
    config = {"source_dir": str(source_dir)}
    assert "linked/extra.py" in contents(zip_bytes(config))
    assert "linked/extra.py" not in contents(zip_bytes({**config, "exclude_symlink_directories": True}))


def test_content_and_blocks_are_archived_under_the_given_names() -> None:
    assert contents(zip_bytes({"source_content_filename": "a/b.txt", "source_content": "hällo"})) == {
        "a/b.txt": "hällo".encode()
    }
    blocks = [{"filename": "z.txt", "content": "last"}, {"filename": "a.txt", "content": "first"}]
    assert list(contents(zip_bytes({"source": blocks})).items()) == [("a.txt", b"first"), ("z.txt", b"last")]


def test_the_archive_does_not_depend_on_the_age_of_the_files(source_dir: Path) -> None:
    config = {"source_dir": str(source_dir), "output_file_mode": "0644"}
    before = zip_bytes(config)
    os.utime(source_dir / "handler.py", (0, 0))
    (source_dir / "notes.md").chmod(0o600)
    assert zip_bytes(config) == before


def test_file_modes_are_the_files_own_unless_one_is_given(source_dir: Path) -> None:
    path = source_dir / "handler.py"
    path.chmod(0o750)
    assert modes(zip_bytes({"source_file": str(path)})) == {"handler.py": 0o750}
    assert modes(zip_bytes({"source_file": str(path), "output_file_mode": "0644"})) == {"handler.py": 0o644}


def test_results_are_the_digests_that_the_real_provider_documents() -> None:
    data = b"PK example"
    told = results(data)
    assert told == {
        "id": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        "output_size": 10,
        "output_md5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        "output_sha": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        "output_sha256": hashlib.sha256(data).hexdigest(),
        "output_base64sha256": base64.b64encode(hashlib.sha256(data).digest()).decode(),
        "output_sha512": hashlib.sha512(data).hexdigest(),
        "output_base64sha512": base64.b64encode(hashlib.sha512(data).digest()).decode(),
    }
    computed = {each.name for each in ArchiveFile.get_schema().attributes if each.computed}
    assert computed == set(told)


def test_an_empty_directory_and_a_mode_that_is_no_number_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no file to archive"):
        zip_bytes({"source_dir": str(tmp_path)})
    with pytest.raises(ArchiveError, match="octal number, not 'rw-r--r--'"):
        zip_bytes({"source_content_filename": "a", "source_content": "", "output_file_mode": "rw-r--r--"})


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"type": "tar.gz", "source_file": "a"}, "'tar.gz' is not supported"),
        ({"type": "zip"}, "exactly one of .* not none"),
        ({"type": "zip", "source_file": "a", "source_dir": "b"}, "not source_file and source_dir"),
        ({"type": "zip", "source_dir": "a", "excludes": ["**/*.pyc"]}, "takes paths, not patterns"),
    ],
)
def test_what_it_cannot_do_is_refused(config: dict[str, Any], complaint: str) -> None:
    (found,) = complaints(config)
    with pytest.raises(ValueError, match=complaint):
        raise ValueError(found)


def test_values_that_are_not_known_yet_are_not_complained_about() -> None:
    assert list(complaints({"type": Unknown, "source_dir": Unknown, "excludes": Unknown, "source": []})) == []


def test_a_source_that_does_not_exist_becomes_a_diagnostic(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    config = {"source_dir": str(tmp_path / "missing"), "output_path": str(tmp_path / "a.zip")}
    state = ArchiveFile(Archive()).read(ReadDataContext(diagnostics, "archive_file"), config)
    assert state is None
    assert "No such file or directory" in diagnostics.diagnostics[0].detail
    assert not (tmp_path / "a.zip").exists()
