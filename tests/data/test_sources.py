"""Folders and archives hand out the same bytes, in any process, and never write."""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
import pickle
import random
import tarfile
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data import sources
from fathom.data.decode import BadImageError
from fathom.data.sources import Arrays, FileSource, Folder, Tar, Zip, is_tar
from fathom.errors import UserError
from tests.images import encode, noise, pack, write, write_tree

KINDS = ["folder", "zip", "tar", "tar.gz", "tar.xz"]
COUNTS = {"cats": 3, "dogs/old": 2, "empty": 0}
LARGE = 100  # pixels a side of images that no buffer holds whole
KEYS = ("cats/0.png", "cats/1.png", "cats/2.png", "dogs/old/0.png", "dogs/old/1.png")


def opened(kind: str, tmp_path: Path, size: int = 8) -> FileSource:
    root = write_tree(tmp_path / "tree", COUNTS, size=size)
    if kind == "folder":
        return Folder(root)
    archive = pack(root, tmp_path / f"packed.{kind}")
    return Zip(archive) if kind == "zip" else Tar(archive)


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_lists_and_reads_the_same_tree(kind: str, tmp_path: Path) -> None:
    source = opened(kind, tmp_path)
    listing = source.listing()
    assert listing.files == KEYS
    assert listing.folders == ("cats", "dogs", "dogs/old", "empty")
    assert listing.notes == ()
    for seed, key in enumerate(KEYS):
        data = encode(noise(seed))
        assert source.read(key) == data
        assert source.size(key) == len(data)
        assert source.header(key).width == 8
        assert np.array_equal(source.pixels(key, 3), noise(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_in_use_can_be_pickled(kind: str, tmp_path: Path) -> None:
    source = opened(kind, tmp_path)
    wanted = [source.read(key) for key in KEYS]
    copy = pickle.loads(pickle.dumps(source))
    assert [copy.read(key) for key in KEYS] == wanted


def _read_often(source: FileSource, seed: int, answers: Any) -> None:
    rng = random.Random(seed)
    wanted = [encode(noise(place, LARGE, LARGE)) for place in range(len(KEYS))]
    wrong = 0
    for _ in range(300):
        place = rng.randrange(len(KEYS))
        wrong += source.read(KEYS[place]) != wanted[place]
    answers.put(wrong)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on fork
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_forked_processes_do_not_share_a_place_in_the_file(kind: str, tmp_path: Path) -> None:
    source = opened(kind, tmp_path, LARGE)
    source.read(KEYS[0])
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    workers = [context.Process(target=_read_often, args=(source, s, answers)) for s in range(3)]
    for worker in workers:
        worker.start()
    assert [answers.get(timeout=60) for _ in workers] == [0, 0, 0]
    for worker in workers:
        worker.join()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_written_and_no_file_stays_open(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(kind, tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.chdir(scratch)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    before = sorted(tmp_path.rglob("*"))
    source = opened(kind, tmp_path)
    for key in source.listing().files:
        source.pixels(key, 3)
    assert sorted(tmp_path.rglob("*")) == before
    del source
    gc.collect()  # an unclosed file warns here, and a warning is an error


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_that_goes_away_makes_bad_images(kind: str, tmp_path: Path) -> None:
    source = opened(kind, tmp_path)
    archive = tmp_path / f"packed.{kind}"
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(BadImageError):
        source.read(KEYS[-1])
    archive.unlink()
    with pytest.raises(BadImageError):
        pickle.loads(pickle.dumps(source)).read(KEYS[-1])


def test_links_are_followed_but_never_round_in_circles(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", {"cats": 1})
    away = write_tree(tmp_path / "away", {"big": 2})
    (tree / "dogs").symlink_to(away / "big")
    (tree / "cats" / "again").symlink_to(tree)
    (tree / "cats" / "deep").mkdir()
    (tree / "cats" / "deep" / "up").symlink_to(tree / "cats")
    (tree / "cats" / "self").symlink_to("self")
    (tree / "cats" / "gone.png").symlink_to("nowhere.png")
    (tree / "cats" / "same.png").symlink_to("0.png")
    source = Folder(tree)
    listing = source.listing()
    cats = ("cats/0.png", "cats/gone.png", "cats/same.png", "cats/self")
    assert listing.files == (*cats, "dogs/0.png", "dogs/1.png")
    assert listing.folders == ("cats", "cats/deep", "dogs")
    loops = "it loops back to a folder above it"
    assert listing.notes == (
        f"skipped link 'cats/again': {loops}",
        f"skipped link 'cats/deep/up': {loops}",
    )
    assert source.read("cats/same.png") == source.read("cats/0.png")
    with pytest.raises(BadImageError, match="no such file"):
        source.read("cats/gone.png")
    with pytest.raises(BadImageError, match="unreadable"):
        source.read("cats/self")


def test_a_folder_that_may_not_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions do not stop root, who may run these tests; so scandir is refused instead."""
    tree = write_tree(tmp_path / "tree", {"cats": 1, "dogs": 1})
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "dogs":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = Folder(tree).listing()
    assert listing.files == ("cats/0.png",)
    assert listing.notes == ("skipped folder 'dogs': Permission denied",)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_is_bad_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.png").symlink_to("pipe")
    (tmp_path / "folder.png").mkdir()
    source = Folder(tmp_path)
    assert "pipe" not in source.listing().files
    for key in ("pipe", "link.png", "folder.png"):
        with pytest.raises(BadImageError, match="not a regular file"):
            source.read(key)
    with pytest.raises(BadImageError, match="name"):
        source.read("a\0b.png")
    assert source.size("a\0b.png") == source.size("nowhere") == 0


def test_absolute_keys_lie_where_they_say(tmp_path: Path) -> None:
    path = write(tmp_path / "far" / "a.png", encode(noise(1)))
    assert Folder(tmp_path / "other").read(str(path)) == path.read_bytes()


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_files_of_absurd_size_are_not_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened(kind, tmp_path)
    monkeypatch.setattr(sources, "_MAX_FILE_BYTES", 100)
    with pytest.raises(BadImageError, match="absurd size"):
        source.read(KEYS[0])


def test_a_zip_member_that_is_damaged_or_locked_is_bad(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", {"cats": 2})
    archive = pack(tree, tmp_path / "a.zip")
    data = bytearray(archive.read_bytes())
    data[data.index(b"IDAT") + 8] ^= 255
    archive.write_bytes(data)
    source = Zip(archive)
    with pytest.raises(BadImageError, match="damaged in the archive"):
        source.read("cats/0.png")
    assert source.read("cats/1.png")
    place = data.rindex(b"PK\x01\x02")
    data[place + 8] |= 1  # the flag of an encrypted member, in the directory and before the data
    data[data.rindex(b"PK\x03\x04") + 6] |= 1
    archive.write_bytes(data)
    with pytest.raises(BadImageError, match="damaged in the archive"):
        Zip(archive).read("cats/1.png")


def test_tar_holds_hard_links_and_says_that_it_skips_others(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", {"cats": 1})
    os.link(tree / "cats" / "0.png", tree / "cats" / "twin.png")
    (tree / "cats" / "link.png").symlink_to("0.png")
    for name in ("a.tar", "a.tar.gz"):
        source = Tar(pack(tree, tmp_path / name))
        assert source.listing().files == ("cats/0.png", "cats/twin.png")
        assert source.read("cats/twin.png") == source.read("cats/0.png") == encode(noise(0))
        assert source.listing().notes == ("skipped links in the archive: 1",)


def test_a_later_member_replaces_an_earlier_one_of_its_name(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        for data in (b"old", b"newer"):
            member = tarfile.TarInfo("cats/0.png")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    assert Tar(archive).read("cats/0.png") == b"newer"
    assert Tar(archive).size("cats/0.png") == 5


def test_a_compressed_tar_must_fit_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "available_memory", lambda: 2000)
    assert opened("tar", tmp_path).listing().files == KEYS
    with pytest.raises(UserError, match="unpack it"):
        opened("tar.gz", tmp_path)


HARM = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255))


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
def test_damaged_archives_give_an_error_or_every_image(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A damaged archive never lists fewer images in silence, and never raises anything else."""
    folder = tmp_path_factory.mktemp("damaged")
    opened(kind, folder)
    whole = (folder / f"packed.{kind}").read_bytes()
    harmed = folder / f"harmed.{kind}"

    @settings(max_examples=120, deadline=None, derandomize=True, database=None)
    @given(HARM)
    def check(harm: tuple[float, int]) -> None:
        place, change = int(harm[0] * len(whole)), harm[1]
        cut = change == 0
        byte = bytes([whole[place] ^ change])
        harmed.write_bytes(whole[:place] + (b"" if cut else byte + whole[place + 1 :]))
        try:
            source = Zip(harmed) if kind == "zip" else Tar(harmed)
        except UserError:
            return
        files = source.listing().files
        missing = set(KEYS) - set(files)
        assert len(missing) <= (kind == "zip")  # where no checksum covers a name
        for key in files:
            source.size(key)
            with suppress(BadImageError):
                source.pixels(key, 3)

    check()


def test_every_byte_of_a_zip_directory_matters(tmp_path: Path) -> None:
    """A damaged length hides the members behind it from zipfile; no two images are lost so."""
    opened("zip", tmp_path)
    whole = (tmp_path / "packed.zip").read_bytes()
    harmed = tmp_path / "harmed.zip"
    for place in range(whole.index(b"PK\1\2"), len(whole)):
        for change in (1, 10, 128, 191):
            harmed.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
            with suppress(UserError):
                assert len(set(KEYS) - set(Zip(harmed).listing().files)) <= 1


def test_a_tar_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    archive = pack(write_tree(tmp_path / "tree", {"cats": 3}), tmp_path / "a.tar")
    with tarfile.open(archive) as tar:
        places = [member.offset for member in tar]
    whole = archive.read_bytes()
    for place in places[1:]:
        archive.write_bytes(whole[:place])
        assert is_tar(archive)
        with pytest.raises(UserError, match="cut off or damaged"):
            Tar(archive)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_tars_are_known_by_their_bytes(kind: str, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", {"cats": 1})
    archive = pack(tree, tmp_path / f"a.{kind}").rename(tmp_path / "photos")
    assert is_tar(archive)
    assert not is_tar(write(tmp_path / "text", b"dear diary\n" * 99))
    assert not zipfile.is_zipfile(archive)


def test_arrays_are_gray_or_colour_as_asked() -> None:
    gray = Arrays(np.stack([noise(0, 5, 4, 1), noise(1, 5, 4, 1)]))
    assert np.array_equal(gray.pixels("1", 1), noise(1, 5, 4, 1))
    assert np.array_equal(gray.pixels("1", 3), np.repeat(noise(1, 5, 4, 1), 3, axis=2))
    colour = Arrays(noise(2, 5, 4, 3)[None])
    header = colour.header("0")
    assert (header.width, header.height, header.channels) == (4, 5, 3)
    assert np.array_equal(colour.pixels("0", 3), noise(2, 5, 4, 3))
    luminance = noise(2, 5, 4, 3) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(colour.pixels("0", 1)[..., 0] - luminance).max() <= 1
    assert colour.size("0") == 60


def test_arrays_may_be_of_several_sizes() -> None:
    both = Arrays([noise(0, 5, 4, 3), noise(1, 7, 9, 3)])
    assert [(both.header(key).width, both.header(key).height) for key in "01"] == [(4, 5), (9, 7)]
    assert np.array_equal(both.pixels("1", 3), noise(1, 7, 9, 3))
    assert both.checksum("0", whole=True) != both.checksum("1", whole=True)
