"""Files of arrays that are whole or not there, and that notice any damage: safetensors with checksums.

A file is an ordinary safetensors file, which other tools can read. Its metadata hold one entry, `chainrule`:
a JSON object with a checksum of the header, a checksum of every tensor, and the caller's metadata. See
docs/decisions/0002-files-with-checksums.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from chainrule.dtypes import DType, checked
from chainrule.errors import DTypeError, FileFormatError, OptionError, explain

__all__ = ["load_arrays", "save_arrays"]

Path: TypeAlias = str | os.PathLike[str]
Arrays: TypeAlias = dict[str, NDArray[Any]]

KEY = "chainrule"
# Every header of ours starts with these bytes, so that its checksum stands at a known place.
START = f'{{"__metadata__":{{"{KEY}":"{{\\"header\\":\\"'.encode()
NO_CHECKSUM = b"0" * 64
LONGEST_HEADER = 100_000_000  # the format's own limit
ABANDONED = 600.0  # seconds without a write after which the writer of a temporary file is taken for dead


def save_arrays(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
    """Write named arrays and metadata to `path`, whole or not at all.

    The bytes go to a temporary file in the same folder, which replaces `path` once they are on the disk: a
    process killed at any moment leaves the old file or the new one. An existing file keeps its permissions.
    The same arrays and metadata give the same bytes.

    `arrays` are float32, float64, integer or boolean, of any shape; `metadata` is what JSON can hold, with
    strings as keys (tuples come back as lists). Raises DTypeError for other element types or metadata and
    OptionError for a name the format cannot hold, both before anything is written; OSError from the disk.

    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "weights.safetensors")
    ...     save_arrays(path, {"w": np.array([1.0, 2.0])}, {"step": 7})
    ...     load_arrays(path)
    ({'w': array([1., 2.])}, {'step': 7})
    """
    called = f"save_arrays({os.fspath(path)!r})"
    ready = {name: _storable(called, name, arrays[name]) for name in arrays}
    ordered = dict(sorted(ready.items(), key=lambda item: (-item[1].itemsize, item[0])))  # keeps each aligned
    header = _header(called, ordered, dict(metadata or {}))
    with _replacing(path) as file:
        file.write(header)
        for array in ordered.values():
            file.write(_bytes_of(array))


def load_arrays(path: Path, *, require_checksums: bool = True) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and the metadata of a file that `save_arrays` wrote, every byte of it checked.

    A safetensors file of another program has no checksums and is refused, unless `require_checksums=False`;
    its metadata are then strings. Raises FileFormatError, naming the file and the tensor (or the header), for
    any changed bit, truncation or addition; FileNotFoundError where there is no file.
    """
    called = f"load_arrays({os.fspath(path)!r})"
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header = _read_header(called, file, size)
    if header.startswith(START):
        record = _checked_record(called, header, size)
        return _read_checked(called, path, record["tensors"]), record["metadata"]
    if require_checksums:
        raise FileFormatError(
            explain(
                called,
                "the header holds no chainrule checksums",
                "the file comes from another program, or its header is damaged",
                "If you trust it, load_arrays(path, require_checksums=False) reads it unchecked.",
            )
        )
    return _read_foreign(called, path)


def _storable(called: str, name: str, value: Any) -> NDArray[Any]:
    if not isinstance(name, str):
        raise DTypeError(explain(called, f"the name {name!r}", "names of arrays are strings"))
    if name == "__metadata__" or any("\ud800" <= letter <= "\udfff" for letter in name):
        raise OptionError(explain(called, f"the name {name!r}", "safetensors cannot hold it", "Rename the array."))
    array = np.asarray(value)
    dtype = checked(array.dtype, f"{called}, array {name!r}")
    return np.asarray(array, dtype=dtype.newbyteorder("<"), order="C")


def _header(called: str, arrays: Arrays, metadata: dict[str, Any]) -> bytes:
    """The length and the JSON header, with the checksum of both in it, padded to align the data."""
    checksums = {name: _checksum(name, array) for name, array in arrays.items()}
    try:
        text = _json({"header": NO_CHECKSUM.decode(), "tensors": checksums, "metadata": metadata})
    except (TypeError, ValueError) as error:
        rule = "metadata are what JSON can hold: strings, numbers, booleans, None, lists, dicts"
        raise DTypeError(explain(called, f"metadata: {error}", rule, "Convert, or save as an array.")) from None
    entries: dict[str, Any] = {"__metadata__": {KEY: text}}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        entries[name] = {"dtype": _code(array.dtype), "shape": array.shape, "data_offsets": [begin, end]}
    body = _json(entries).encode()
    body += b" " * (-len(body) % 8)
    if len(body) > LONGEST_HEADER:
        got, rule = f"names and metadata of {len(body)} bytes", f"the format holds {LONGEST_HEADER}"
        raise OptionError(explain(called, got, rule, "Save long records as arrays."))
    whole = len(body).to_bytes(8, "little") + body
    return _with_checksum(whole, hashlib.sha256(whole).hexdigest().encode())


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _code(dtype: DType) -> str:
    return "BOOL" if dtype.kind == "b" else f"{dtype.kind.upper()}{8 * dtype.itemsize}"


def _with_checksum(header: bytes, checksum: bytes) -> bytes:
    at = 8 + len(START)
    return header[:at] + checksum + header[at + len(checksum) :]


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _checksum(name: str, array: NDArray[Any]) -> str:
    digest = hashlib.sha256(_json([name, _code(array.dtype), array.shape]).encode())
    digest.update(_bytes_of(array))
    return digest.hexdigest()


def _read_header(called: str, file: BinaryIO, size: int) -> bytes:
    first = file.read(8)
    length = int.from_bytes(first, "little")
    if len(first) == 8 and 0 not in first:  # a length so large is none: this is text, or an image
        shown = (first + file.read(24)).decode("latin-1").splitlines()[0]
        rule = "this is text (a table, such as CSV?) or another format, and no weights file of chainrule"
        repair = "Name the file that a model was saved to; where data are asked for too, they are another argument."
        raise FileFormatError(explain(called, f"it begins with {shown!r}", rule, repair))
    if size < 8 or length > min(size - 8, LONGEST_HEADER):
        got = f"a file of {size} bytes that is to have a header of {length}"
        raise FileFormatError(explain(called, got, "the header is damaged or cut off", "Use a backup."))
    return file.read(length)


def _checked_record(called: str, header: bytes, size: int) -> dict[str, Any]:
    """Our entry in the header, once the header's checksum and the file's size are right."""
    found = header[len(START) : len(START) + len(NO_CHECKSUM)]
    whole = _with_checksum(len(header).to_bytes(8, "little") + header, NO_CHECKSUM)
    if found != hashlib.sha256(whole).hexdigest().encode():
        rule = "its checksum does not fit: it was damaged after it was saved"
        raise FileFormatError(explain(called, "the header", rule, "Use a backup."))
    entries = json.loads(header)
    record: dict[str, Any] = json.loads(entries.pop("__metadata__")[KEY])
    end = 8 + len(header)
    for name, entry in entries.items():
        end = 8 + len(header) + entry["data_offsets"][1]
        if end > size:
            got = f"tensor {name!r} ends at byte {end} of a file of {size} bytes"
            raise FileFormatError(explain(called, got, "the file is cut off", "Use a backup."))
    if end < size:
        got = f"{size} bytes where the header describes {end}"
        raise FileFormatError(explain(called, got, "something was added at the end", "Use a backup."))
    return record


def _read_checked(called: str, path: Path, checksums: dict[str, str]) -> Arrays:
    arrays, _ = _read_foreign(called, path)
    for name, array in arrays.items():
        if _checksum(name, array) != checksums.get(name):
            rule = "its checksum does not fit: it was damaged after it was saved"
            raise FileFormatError(explain(called, f"tensor {name!r}", rule, "Use a backup."))
    return arrays


def _read_foreign(called: str, path: Path) -> tuple[Arrays, dict[str, Any]]:
    arrays: Arrays = {}
    name = "the header"
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118  (not a mapping)
                arrays[name] = file.get_tensor(name)
            return arrays, dict(file.metadata() or {})
    except SafetensorError as error:
        raise FileFormatError(explain(called, name, f"not a valid safetensors file ({error})")) from None
    except TypeError as error:
        got, rule = f"tensor {name!r}", f"NumPy has no such element type ({error})"
        raise DTypeError(explain(called, got, rule, "Convert it to float32 where it was made.")) from None


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A temporary file that takes the place of `path` when the block ends well, and vanishes otherwise."""
    target = os.path.realpath(path)  # a link stays a link
    mode = _mode_of(target)
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".chainrule-{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync(folder)
    _sweep(folder, os.stat(target).st_mtime)


def _mode_of(target: str) -> int | None:
    """The permissions to keep, None where nothing is yet; refuses what must not be replaced by a file."""
    if not os.path.lexists(target):
        return None
    if not os.path.isfile(target):  # replacing a device or a pipe would destroy it
        raise OptionError(explain(f"saving to {target!r}", "", "this is not a regular file", "Name a file."))
    if not os.access(target, os.W_OK):
        raise PermissionError(f"saving to {target!r}: the file is read-only")
    return stat.S_IMODE(os.stat(target).st_mode)


def _sync(folder: str) -> None:
    """Put the new name on the disk, where the system can (Windows opens no folders)."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sweep(folder: str, now: float) -> None:
    """Delete the temporary files of killed saves; `now` is by the clock that dates files in this folder."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            ours = entry.name.startswith(".chainrule-") and entry.name.endswith(".tmp")
            if ours and now - entry.stat(follow_symlinks=False).st_mtime > ABANDONED:
                os.unlink(entry.path)
