"""Files are whole or not there, come back exactly, and notice any damage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from chainrule.errors import DTypeError, FileFormatError, OptionError
from chainrule.persist import load_arrays, save_arrays

ARRAYS = {
    "float32": np.array([[1.5, -0.0, np.nan], [np.inf, 1e-45, 3.0]], "float32"),
    "float64": np.linspace(0, 1, 7),
    "reversed": np.arange(12.0).reshape(3, 4)[::-1, ::2],
    "transposed": np.arange(6, dtype="int16").reshape(2, 3).T,
    "scalar": np.array(2.5),
    "empty": np.zeros((0, 3), "float32"),
    "bool": np.array([True, False, True]),
    "uint64": np.array([2**64 - 1, 0], "uint64"),
    **{f"int{bits}": np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1], f"int{bits}") for bits in (8, 16, 32, 64)},
    "": np.array([1], "uint8"),
    'Grün 🌱 "quoted" \\ \n': np.ones(2, "uint16"),
    "chainrule": np.ones(1, "uint32"),
}
METADATA = {"step": 3, "lr": 0.1, "name": 'ü 🌱 \\"', "deep": {"list": [1, None, True, {"a": 2.5}]}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.safetensors"


def test_everything_comes_back_exactly(path: Path) -> None:
    save_arrays(path, ARRAYS, METADATA)
    arrays, metadata = load_arrays(path)
    assert metadata == METADATA
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape), name
        assert arrays[name].tobytes() == array.tobytes(), name
        assert arrays[name].flags.writeable, name


def test_the_safetensors_library_reads_our_files(path: Path) -> None:
    save_arrays(path, ARRAYS, METADATA)
    theirs = safetensors.numpy.load_file(path)
    assert theirs.keys() == ARRAYS.keys()
    assert all(theirs[name].tobytes() == array.tobytes() for name, array in ARRAYS.items())


def test_data_are_aligned_and_bytes_do_not_depend_on_the_order_of_names(path: Path) -> None:
    save_arrays(path, ARRAYS, METADATA)
    first = path.read_bytes()
    header = json.loads(first[8 : 8 + int.from_bytes(first[:8], "little")])
    assert int.from_bytes(first[:8], "little") % 8 == 0
    assert header["uint64"]["data_offsets"][0] % 8 == 0
    assert header["float32"]["data_offsets"][0] % 4 == 0
    save_arrays(path, dict(reversed(ARRAYS.items())), METADATA)
    assert path.read_bytes() == first


def test_big_endian_arrays_and_no_arrays_at_all(path: Path) -> None:
    save_arrays(path, {"w": np.array([1.0, 2.0], ">f8")})
    assert load_arrays(path)[0]["w"].tolist() == [1.0, 2.0]
    save_arrays(path, {}, {"only": "metadata"})
    assert load_arrays(path) == ({}, {"only": "metadata"})


def small_file(path: Path) -> bytes:
    save_arrays(path, {"first": np.array([1.0, 2.0], "float32"), "second": np.array([True, False])}, {"step": 5})
    return path.read_bytes()


def test_every_single_flipped_bit_is_refused_by_name(path: Path) -> None:
    whole = small_file(path)
    header_end = 8 + int.from_bytes(whole[:8], "little")
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError, match=path.name) as caught:
            load_arrays(path)
        at = bit // 8 - header_end
        place = "header" if at < 0 else "'first'" if at < 8 else "'second'"
        assert place in str(caught.value), (bit, str(caught.value))


def test_every_truncation_and_every_addition_is_refused(path: Path) -> None:
    whole = small_file(path)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match=r"header|tensor '(first|second)'"):
            load_arrays(path)
    for extra in (b"\0", b" ", b"junk" * 1000, whole):
        path.write_bytes(whole + extra)
        with pytest.raises(FileFormatError, match="added at the end"):
            load_arrays(path)


CHANGES = {
    "a name": (b'"first"', b'"fiRst"'),
    "an element type": (b'"F32"', b'"I32"'),
    "metadata": (rb"\"step\":5", rb"\"step\":6"),
    "white space": (b'"shape":[2]', b'"shape":[2 ]'),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_header_that_parses_but_says_something_else_is_refused(path: Path, change: str) -> None:
    whole = small_file(path)
    damaged = whole.replace(*CHANGES[change], 1)
    assert damaged != whole
    path.write_bytes(damaged)
    with pytest.raises(FileFormatError, match="header"):
        load_arrays(path)


@pytest.mark.parametrize(
    ("content", "shown"),
    [(b"radius,texture,target\n1.0,2.0,0\n", "'radius,texture,target'"), (b"\x89PNG\r\n\x1a\n\0\0\0", r"'\\x89PNG'")],
)
def test_a_file_that_is_none_of_weights_is_told_apart_from_a_damaged_one(
    path: Path, content: bytes, shown: str
) -> None:
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=rf"it begins with {shown}: .*no weights file of chainrule"):
        load_arrays(path)


def test_swapped_tensors_of_one_shape_are_refused(path: Path) -> None:
    save_arrays(path, {"a": np.array([1.0]), "b": np.array([2.0])})
    whole = path.read_bytes()
    path.write_bytes(whole[:-16] + whole[-8:] + whole[-16:-8])
    with pytest.raises(FileFormatError, match="tensor 'a'"):
        load_arrays(path)


def test_a_file_of_another_program_is_read_on_request_only(path: Path) -> None:
    safetensors.numpy.save_file({"w": np.arange(3.0)}, path, {"made by": "someone"})
    with pytest.raises(FileFormatError, match=r"another program.*require_checksums=False"):
        load_arrays(path)
    arrays, metadata = load_arrays(path, require_checksums=False)
    assert arrays["w"].tolist() == [0.0, 1.0, 2.0]
    assert metadata == {"made by": "someone"}
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileFormatError, match="valid safetensors"):
        load_arrays(path, require_checksums=False)


def test_checksums_that_are_there_are_checked_even_when_not_required(path: Path) -> None:
    whole = small_file(path)
    path.write_bytes(whole[:-1] + b"\1")
    with pytest.raises(FileFormatError, match="'second'"):
        load_arrays(path, require_checksums=False)


def test_an_element_type_that_numpy_lacks_is_named(path: Path) -> None:
    header = b'{"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"ab")
    with pytest.raises(DTypeError, match=r"'w'.*bfloat16"):
        load_arrays(path, require_checksums=False)


@pytest.mark.parametrize("bad", [np.array(["a"]), np.array([1j]), np.array([None]), np.zeros(2, "float16")])
def test_an_unsupported_dtype_is_refused_before_anything_is_written(path: Path, bad: np.ndarray) -> None:
    before = small_file(path)
    with pytest.raises(DTypeError, match="'bad'"):
        save_arrays(path, {"good": np.ones(2), "bad": bad})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_names_and_metadata_that_the_format_cannot_hold_are_refused(path: Path) -> None:
    for name in ("__metadata__", "\ud800"):
        with pytest.raises(OptionError, match="name"):
            save_arrays(path, {name: np.ones(1)})
    with pytest.raises(DTypeError, match="strings"):
        save_arrays(path, {1: np.ones(1)})  # type: ignore[dict-item]
    with pytest.raises(DTypeError, match="JSON"):
        save_arrays(path, {}, {"array": np.ones(2)})
    assert os.listdir(path.parent) == []


def test_no_file_and_no_folder_are_the_usual_errors(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_arrays(path)
    with pytest.raises(FileNotFoundError):
        save_arrays(path.parent / "missing" / "file", {})
    with pytest.raises(OptionError, match="regular file"):
        save_arrays(path.parent, {})


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions and links")
def test_permissions_and_links_stay(path: Path) -> None:
    umask = os.umask(0o027)
    try:
        save_arrays(path, {})
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o640
    path.chmod(0o604)
    link = path.parent / "link"
    link.symlink_to(path)
    save_arrays(link, {"w": np.ones(1)})
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o604
    assert load_arrays(path)[0].keys() == {"w"}


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    before = small_file(path)
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="the disk is full"):
        save_arrays(path, {"w": np.ones(5)})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_temporary_files_of_killed_saves_are_swept_and_living_ones_left(path: Path) -> None:
    living, dead, other = (path.parent / name for name in (".chainrule-1.tmp", ".chainrule-2.tmp", "other.tmp"))
    for file in (living, dead, other):
        file.write_bytes(b"half")
    for file in (dead, other):
        os.utime(file, (1.0e9, 1.0e9))
    save_arrays(path, {"w": np.ones(1)})
    assert sorted(os.listdir(path.parent)) == [".chainrule-1.tmp", "other.tmp", path.name]


# One process imports once and forks a child for each kill; the child saves until it is killed.
KILLS = """
import os, random, signal, sys, time
import numpy as np
from chainrule.persist import load_arrays, save_arrays

path = sys.argv[1]
sizes = {"a": 300_000, "b": (7, 11), "c": ()}

def content(step):
    return {name: np.full(size, float(step)) for name, size in sizes.items()}, {"step": step}

save_arrays(path, *content(0))
draw = random.Random(0)
last = 0
for kill in range(100):
    child = os.fork()
    if child == 0:
        step = last
        while True:
            step += 1
            save_arrays(path, *content(step))
    time.sleep(draw.uniform(0.001, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    arrays, metadata = load_arrays(path)
    assert arrays.keys() == sizes.keys()
    assert all((array == metadata["step"]).all() for array in arrays.values()), metadata
    assert metadata["step"] >= last
    last = metadata["step"]
strays = sum(name.endswith(".tmp") for name in os.listdir(os.path.dirname(path)))
print(last, strays)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the children are forked")
def test_a_hundred_kills_leave_the_old_file_or_the_new_one(path: Path) -> None:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # no threads, so that a fork is safe
    run = subprocess.run(
        [sys.executable, "-c", KILLS, str(path)], capture_output=True, text=True, env=environment, timeout=120
    )
    assert run.returncode == 0, run.stderr
    saves, strays = (int(word) for word in run.stdout.split())
    assert saves >= 10, "too few saves came through to say anything"
    assert strays >= 10, "too few kills fell into a save to say anything"
