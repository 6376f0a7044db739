# mypy: allow-subclassing-any, disable-error-code="import-untyped"
"""Stand-in for the provider hashicorp/archive: data source ``archive_file``, type ``zip``.

Arguments and results are those of the real provider (registry.terraform.io/providers/hashicorp/archive, data source
archive_file). It fails with a diagnostic for unsupported features: other archive types, and globs in ``excludes``.
Entries carry the same fixed date and the same file modes as the real one's, but Python's deflate is not Go's: digests
agree from run to run, not with those of the real provider.
"""

import base64
import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tf.blocks import SetNestedBlock
from tf.iface import DataSource, Provider, ReadDataContext
from tf.runner import run_provider
from tf.schema import Attribute, Block, Schema
from tf.types import Bool, Number, Set, String, Unknown
from tf.utils import Diagnostics

# One of these says what goes in. `source_content_filename` comes with `source_content`.
SOURCES = ("source_file", "source_dir", "source_content_filename", "source")

# The date that the real provider's zeroed modification time reads as in a ZIP header.
_DATE = (2049, 1, 1, 0, 0, 0)
_UNIX = 3  # "version made by": the external attributes are a Unix mode

Config = dict[str, Any]


class ArchiveError(Exception):
    """The configuration cannot be archived. The text is one sentence."""


def files(config: Config) -> Iterator[tuple[str, tuple[bytes, int | None]]]:
    """Yield what to archive: the name in the archive, and content with Unix mode (None: not from a file).

    Raises:
        OSError: A source cannot be read.
    """
    if config.get("source_file") is not None:
        path = Path(config["source_file"])
        yield path.name, (path.read_bytes(), path.stat().st_mode)
    elif config.get("source_dir") is not None:
        root = Path(config["source_dir"])
        excluded = {PurePosixPath(each) for each in config.get("excludes") or ()}
        for path in _walk(root, follow=not config.get("exclude_symlink_directories")):
            name = PurePosixPath(path.relative_to(root).as_posix())
            if excluded.isdisjoint((name, *name.parents)):
                yield str(name), (path.read_bytes(), path.stat().st_mode)
    elif config.get("source_content_filename") is not None:
        yield config["source_content_filename"], ((config.get("source_content") or "").encode(), None)
    else:
        for block in config.get("source") or ():
            yield block["filename"], (block["content"].encode(), None)


def _walk(root: Path, *, follow: bool) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for directory, _, names in os.walk(root, onerror=fail, followlinks=follow):
        yield from (Path(directory, name) for name in names)


def zip_bytes(config: Config) -> bytes:
    """Return the ZIP archive that the configuration describes: the same bytes for the same files.

    Raises:
        ArchiveError: There is nothing to archive, or ``output_file_mode`` is not an octal number.
        OSError: A source cannot be read.

    Example:
        >>> zip_bytes({"source_content_filename": "a.txt", "source_content": "hello"})[:2]
        b'PK'
    """
    mode = _mode(config.get("output_file_mode"))
    entries = dict(files(config))
    if not entries:
        raise ArchiveError("there is no file to archive")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (content, own_mode) in sorted(entries.items()):
            info = zipfile.ZipInfo(name.replace(os.sep, "/"), _DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            if own_mode is not None:
                info.create_system = _UNIX
                info.external_attr = (own_mode if mode is None else 0o100000 | mode) << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def _mode(text: str | None) -> int | None:
    if not text:
        return None
    try:
        return int(text, 8)
    except ValueError as error:
        raise ArchiveError(f"output_file_mode must be an octal number, not {text!r}") from error


def results(archive: bytes) -> Config:
    """Return the computed attributes of an archive: size, digests in hex and base64, and the SHA-1 as id.

    The provider's schema requires MD5 and SHA-1. Nothing here relies on them for security.
    """
    digests = {
        "md5": hashlib.md5(archive, usedforsecurity=False),
        "sha": hashlib.sha1(archive, usedforsecurity=False),
        "sha256": hashlib.sha256(archive),
        "sha512": hashlib.sha512(archive),
    }
    return {
        "id": digests["sha"].hexdigest(),
        "output_size": len(archive),
        **{f"output_{name}": digest.hexdigest() for name, digest in digests.items()},
        **{f"output_base64{name}": base64.b64encode(digests[name].digest()).decode() for name in ("sha256", "sha512")},
    }


def complaints(config: Config) -> Iterator[str]:
    """Yield the mistakes in a configuration, one sentence each. Values may still be unknown."""
    if config.get("type") not in ("zip", Unknown):
        yield f"type {config.get('type')!r} is not supported: this stand-in writes zip only"
    given = [name for name in SOURCES if config.get(name) not in (None, [])]
    if len(given) != 1:
        yield f"exactly one of {', '.join(SOURCES)} must be given, not {' and '.join(given) or 'none'}"
    excludes = config.get("excludes")
    for pattern in excludes if isinstance(excludes, list) else ():
        if isinstance(pattern, str) and set("*?[{") & set(pattern):
            yield f"excludes {pattern!r}: this stand-in takes paths, not patterns"


class ArchiveFile(DataSource):
    """The data source: reading it writes the archive, at plan time as the real one does."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    @classmethod
    def get_name(cls) -> str:
        """Return the type's name after the provider's prefix."""
        return "file"

    @classmethod
    def get_schema(cls) -> Schema:
        """Return the schema of the real data source."""
        text, number = String(), Number()
        optional = ("source_file", "source_dir", "source_content", "source_content_filename", "output_file_mode")
        digests = ("md5", "sha", "sha256", "base64sha256", "sha512", "base64sha512")
        source = Block(
            attributes=[Attribute("content", text, required=True), Attribute("filename", text, required=True)]
        )
        return Schema(
            attributes=[
                Attribute("type", text, required=True),
                Attribute("output_path", text, required=True),
                *(Attribute(name, text, optional=True) for name in optional),
                Attribute("excludes", Set(text), optional=True),
                Attribute("exclude_symlink_directories", Bool(), optional=True),
                Attribute("id", text, computed=True),
                Attribute("output_size", number, computed=True),
                *(Attribute(f"output_{name}", text, computed=True) for name in digests),
            ],
            block_types=[SetNestedBlock("source", source)],
        )

    def validate(self, diags: Diagnostics, type_name: str, config: Config) -> None:
        """Report mistakes that the schema does not cover."""
        super().validate(diags, type_name, config)
        for sentence in complaints(config):
            diags.add_error("Invalid archive_file", sentence)

    def read(self, ctx: ReadDataContext, config: Config) -> Config | None:
        """Write the archive and return its digests."""
        try:
            archive = zip_bytes(config)
            output = Path(config["output_path"])
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_bytes(archive)
        except (OSError, ArchiveError) as error:
            ctx.diagnostics.add_error("Archive creation error", f"error creating archive: {error}")
            return None
        return {**config, **results(archive)}


class Archive(Provider):
    """The provider: it takes no configuration."""

    def full_name(self) -> str:
        """Return the address of the provider that this one stands in for."""
        return "registry.terraform.io/hashicorp/archive"

    def get_model_prefix(self) -> str:
        """Return the prefix of every type's name."""
        return "archive_"

    def get_provider_schema(self, diags: Diagnostics) -> Schema:  # noqa: ARG002
        """Return the empty schema."""
        return Schema()

    def validate_config(self, diags: Diagnostics, config: Config) -> None:
        """Accept: there is nothing to configure."""

    def configure_provider(self, diags: Diagnostics, config: Config) -> None:
        """Accept: there is nothing to configure."""

    def get_data_sources(self) -> list[type[DataSource]]:
        """Return the one data source."""
        return [ArchiveFile]

    def get_resources(self) -> list[type[Any]]:
        """Return nothing: the managed archive_file is not part of the stand-in."""
        return []


if __name__ == "__main__":
    run_provider(Archive())
