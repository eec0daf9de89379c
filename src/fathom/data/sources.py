"""Where the bytes of images live: folders, zip and tar archives, arrays in memory.

A source hands out one image by key. Archives are read in place and never unpacked. A source may
cross into loader workers: file handles are opened anew in each process.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import numpy as np
from PIL import Image

from fathom.data.decode import BadImageError, Header, Pixels, decode, from_pillow, read_header
from fathom.errors import UserError
from fathom.runtime import available_memory

_MAX_FILE_BYTES = 512 * 2**20


class Source(Protocol):
    """Images by key."""

    def size(self, key: str) -> int:
        """Bytes of one image as stored."""

    def checksum(self, key: str, *, whole: bool) -> int:
        """CRC-32 of one image as stored; its size where the whole need not be read for it.

        Raises BadImageError.
        """

    def header(self, key: str) -> Header:
        """Size and channels of one image without decoding it. Raises BadImageError."""

    def pixels(self, key: str, channels: int) -> Pixels:
        """One image as (H, W, channels) uint8. Raises BadImageError."""


@dataclass(frozen=True)
class Listing:
    """What a tree holds: every file and every folder, as relative paths with `/`, and notes."""

    files: tuple[str, ...]
    folders: tuple[str, ...]
    notes: tuple[str, ...] = ()


class FileSource(ABC):
    """Base of the sources that hold encoded files."""

    @abstractmethod
    def size(self, key: str) -> int: ...

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The bytes of one file. Raises BadImageError when they cannot be had."""

    @abstractmethod
    def listing(self) -> Listing: ...

    def checksum(self, key: str, *, whole: bool) -> int:
        return zlib.crc32(self.read(key)) if whole else self.size(key)

    def header(self, key: str) -> Header:
        return read_header(io.BytesIO(self.read(key)), key)

    def pixels(self, key: str, channels: int) -> Pixels:
        return decode(self.read(key), key, channels)


class Folder(FileSource):
    """Files below a folder; keys are paths relative to it, or absolute ones."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def size(self, key: str) -> int:
        try:
            return (self.root / key).stat().st_size
        except (OSError, ValueError):
            return 0

    def read(self, key: str) -> bytes:
        with self._opened(key) as file:
            return file.read()

    def header(self, key: str) -> Header:
        with self._opened(key) as file:
            return read_header(file, key)

    @contextmanager
    def _opened(self, key: str) -> Iterator[BinaryIO]:
        path = self.root / key
        try:
            status = path.stat()  # before opening, which would wait for the other end of a pipe
            if not stat.S_ISREG(status.st_mode):
                raise BadImageError("not a regular file")
            _check_bytes(status.st_size)
            with path.open("rb") as file:
                yield file
        except FileNotFoundError as error:
            raise BadImageError("no such file") from error
        except ValueError as error:
            raise BadImageError(f"no file can have this name ({error})") from error
        except OSError as error:
            raise BadImageError(f"unreadable ({error.strerror})") from error

    def listing(self) -> Listing:
        files: list[str] = []
        folders: list[str] = []
        notes: list[str] = []
        self._walk("", (os.path.realpath(self.root),), files, folders, notes)
        return Listing(tuple(sorted(files)), tuple(sorted(folders)), tuple(notes))

    def _walk(
        self,
        below: str,
        above: tuple[str, ...],
        files: list[str],
        folders: list[str],
        notes: list[str],
    ) -> None:
        """Depth first; links are followed, but never into a folder that is already above."""
        try:
            entries = sorted(os.scandir(self.root / below), key=lambda e: e.name)
        except OSError as error:
            notes.append(f"skipped folder {below!r}: {error.strerror}")
            return
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if not _is_folder(entry):
                if entry.is_symlink() or entry.is_file():
                    files.append(path)
                continue
            real = os.path.realpath(entry.path)
            if real in above:
                notes.append(f"skipped link {path!r}: it loops back to a folder above it")
                continue
            folders.append(path)
            self._walk(path, (*above, real), files, folders, notes)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or through a folder that may not be entered
        return False


def _check_bytes(size: int) -> None:
    if size > _MAX_FILE_BYTES:
        raise BadImageError(f"absurd size: {size / 2**20:.0f} MiB")


class Zip(FileSource):
    """Members of a zip archive, read in place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: tuple[int, zipfile.ZipFile] | None = None
        try:
            with zipfile.ZipFile(path) as archive:
                infos = archive.infolist()
                _require_whole_directory(path, archive)
                self._members = {i.filename: (i.file_size, i.CRC) for i in infos}
        except Exception as error:  # damage also shows as NotImplementedError, struct.error, ...
            raise UserError(f"{path} cannot be read as a zip archive: {error}") from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}

    def _archive(self) -> zipfile.ZipFile:
        if self._open is None or self._open[0] != os.getpid():
            self._open = os.getpid(), zipfile.ZipFile(self.path)
        return self._open[1]

    def size(self, key: str) -> int:
        return self._members[key][0]

    def checksum(self, key: str, *, whole: bool) -> int:
        return self._members[key][1]  # reading compares it

    def read(self, key: str) -> bytes:
        _check_bytes(self.size(key))
        try:
            return self._archive().read(key)
        except Exception as error:  # zlib, lzma and zipfile each have errors of their own
            raise BadImageError(f"damaged in the archive ({error})") from error

    def listing(self) -> Listing:
        names = sorted(self._members)
        return Listing(tuple(n for n in names if not n.endswith("/")), _folders_of(names))


def _require_whole_directory(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise ValueError unless the directory holds as many members as the record behind it says.

    zipfile steps over members behind a damaged length, and images would be lost in silence.
    """
    lengths = (
        46
        + len(i.orig_filename.encode("utf-8" if i.flag_bits & 0x800 else "cp437"))
        + len(i.extra)
        + len(i.comment)
        for i in archive.infolist()
    )
    with path.open("rb") as file:
        file.seek(archive.start_dir + sum(lengths))
        record = file.read(40)
    counts = {b"PK\5\6": record[10:12], b"PK\6\6": record[32:40]}  # as in 4.3.14, 4.3.16 of APPNOTE
    count = int.from_bytes(counts.get(record[:4], b""), "little")
    if count != len(archive.infolist()):
        raise ValueError("its directory is damaged")


class _Member(tarfile.TarInfo):
    """A member of an archive whose damage is an error: tarfile takes a damaged header, unless it is
    the first, for the end of the archive, and the images behind it would be lost in silence."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf and not any(buf):
                raise  # zeros, the mark of the end
            raise tarfile.ReadError(f"cut off or damaged ({error})") from error


class Tar(FileSource):
    """Members of a tar archive: read in place, or held in memory where it is compressed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, tuple[int, int]] = {}  # name -> offset, size
        self._held: dict[int, bytes] = {}  # by offset, which a file's hard links share
        self._folders: list[str] = []
        self._links = 0
        try:
            plain = _is_plain_tar(path)
            with tarfile.open(path, tarinfo=_Member) as archive:
                self._index(archive, plain)
        except UserError:
            raise
        except Exception as error:  # tarfile, zlib and lzma each have errors of their own
            raise UserError(f"{path} cannot be read as a tar archive: {error}") from error

    def _index(self, archive: tarfile.TarFile, plain: bool) -> None:
        room = available_memory() // 4
        for member in archive:
            if member.isdir():
                self._folders.append(member.name + "/")
            elif member.islnk() and member.linkname in self._places:
                self._places[member.name] = self._places[member.linkname]
            elif member.islnk() or member.issym():
                self._links += 1
            if not member.isfile():
                continue
            self._places[member.name] = (member.offset_data, member.size)
            if not plain:
                room -= member.size
                if room < 0:
                    raise UserError(
                        f"{self.path} is compressed, so its images cannot be read in any order, "
                        "and it is too large to hold in memory; unpack it, or use an uncompressed "
                        "tar or a zip"
                    )
                content = archive.extractfile(member)
                assert content is not None
                self._held[member.offset_data] = content.read()

    def size(self, key: str) -> int:
        return self._places[key][1]

    def read(self, key: str) -> bytes:
        offset, size = self._places[key]
        if offset in self._held:
            return self._held[offset]
        _check_bytes(size)
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise BadImageError(f"unreadable in the archive ({error.strerror})") from error
        if len(data) < size:
            raise BadImageError("the archive has become shorter")
        return data

    def listing(self) -> Listing:
        notes = (f"skipped links in the archive: {self._links}",) if self._links else ()
        folders = _folders_of([*self._places, *self._folders])
        return Listing(tuple(sorted(self._places)), folders, notes)


def is_tar(path: Path) -> bool:
    """Whether a file begins like a tar archive, plain or compressed, even a damaged one."""
    try:
        return tarfile.is_tarfile(path)
    except Exception:  # compressed, and broken within the first header
        return True


def _is_plain_tar(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:"):
            return True
    except tarfile.ReadError:
        return False


def _folders_of(names: Sequence[str]) -> tuple[str, ...]:
    """Every folder that a list of archive members implies."""
    folders: set[str] = set()
    for name in names:
        parts = name.split("/")[:-1]
        folders.update("/".join(parts[: i + 1]) for i in range(len(parts)))
    return tuple(sorted(folders))


class Arrays:
    """Images already decoded: (H, W, C) uint8 each, C 1 or 3; keys are indices as text."""

    def __init__(self, images: Pixels | Sequence[Pixels]) -> None:
        self.images = images

    def size(self, key: str) -> int:
        return int(self.images[int(key)].nbytes)

    def checksum(self, key: str, *, whole: bool) -> int:
        return zlib.crc32(np.ascontiguousarray(self.images[int(key)]).data)

    def header(self, key: str) -> Header:
        height, width, channels = self.images[int(key)].shape
        return Header(width, height, channels)

    def pixels(self, key: str, channels: int) -> Pixels:
        image: Pixels = self.images[int(key)]
        if image.shape[2] == channels:
            return image
        if image.shape[2] == 1:
            repeated: Pixels = np.repeat(image, channels, axis=2)
            return repeated
        return from_pillow(Image.fromarray(image), channels)
