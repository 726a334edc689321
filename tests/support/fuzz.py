"""Valid small files of every format, and what mutates them; ``python -m tests.support.fuzz COUNT SEED`` for a long run.

The native readers may end the process, so files are read by a child, which says before each what it does; when it
dies, the file is known and the next child goes on.
"""

from __future__ import annotations

import gzip
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.support.odd_dicom import dataset, rle, saved, stack
from tests.support.odd_pictures import encoded, interlaced, noise, png, tiles
from tests.support.odd_volumes import compressed_meta, file, meta, nifti, nrrd, volume

SECONDS = 20
"""For one file; our choice: all of them are read in a few milliseconds."""
MEMORY = 6 << 30
"""Bytes of address space; our choice: a process that has loaded the readers takes some four."""

WELL_FORMED = "well-formed"
REFUSED = "refused"


def packed(data: bytes) -> bytes:
    """A NIfTI file as ``.nii.gz``."""
    path = Path(tempfile.mkdtemp()) / "a.nii.gz"
    file(data)(path)
    return path.read_bytes()


def seeds() -> list[tuple[str, bytes]]:
    """(extension, content) of valid files; a series is the content of its second slice."""
    voxels = volume().tobytes("F")
    return [
        (".nii.gz", packed(nifti())),
        (".nii", nifti()),
        (".nii", nifti(volume(dtype=np.float32))),
        (".nrrd", nrrd()),
        (".nrrd", nrrd(gzip.compress(voxels), encoding="gzip")),
        (".mha", meta()),
        (".mha", compressed_meta()),
        (".mhd", meta(data="voxels.raw")),
        (".png", encoded("PNG", noise(20, 16))),
        (".png", interlaced(noise(20, 16))),
        (".png", encoded("PNG", noise(20, 16, dtype=np.uint16, top=65_536))),
        (".png", png(16, 20, 16, 2, b"\0" * 20 * (1 + 16 * 6))),
        (".jpg", encoded("JPEG", noise(20, 16, 3))),
        (".jpeg", encoded("JPEG", noise(20, 16), progressive=True)),
        (".tif", encoded("TIFF", noise(20, 16))),
        (".tiff", encoded("TIFF", noise(20, 16) // 32, compression="tiff_lzw")),
        (".tif", encoded("TIFF", noise(20, 16, 3), compression="jpeg")),
        (".tif", tiles(noise(20, 16, dtype=np.uint16, top=65_536))),
        (".tif", tiles(noise(20, 16, 3), compression="zlib", planarconfig="contig")),
        (".dcm", saved(dataset())),
        (".dcm", rle()),
        ("", saved(stack()[1])),
    ]


Mutation = tuple[str, float, int]
"""What is done, where (a share of the file), and with which number."""

KINDS = ("flip", "byte", "cut", "remove", "insert", "repeat", "number", "digit")
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(data: bytes, mutations: Sequence[Mutation]) -> bytes:
    """The file after all of them."""
    for kind, share, number in mutations:
        place = min(int(share * len(data)), max(0, len(data) - 1))
        data = _mutated(data, kind, place, number)
    return data


def _mutated(data: bytes, kind: str, place: int, number: int) -> bytes:
    head, tail = data[:place], data[place:]
    if kind == "flip" and tail:
        return head + bytes([tail[0] ^ (1 << number % 8)]) + tail[1:]
    if kind == "byte":
        return head + bytes([number % 256]) + tail[1:]
    if kind == "cut":
        return head
    if kind == "remove":
        return head + tail[1 + number % 16 :]
    if kind == "insert":
        return head + struct.pack("<I", number % 2**32)[: 1 + number % 4] + tail
    if kind == "repeat":
        return head + tail[: 1 + number % 64] + tail
    if kind == "number":
        value = _NUMBERS[number % len(_NUMBERS)]
        packed_number = struct.pack(
            ("<I", ">I", "<H", ">H")[number % 4], value & (0xFFFFFFFF if number % 4 < 2 else 0xFFFF)
        )
        return head + packed_number + tail[len(packed_number) :]
    digits = [at for at, sign in enumerate(data[:600]) if 48 <= sign <= 57]  # of a header in text
    if kind == "digit" and digits:
        at = digits[place % len(digits)]
        return data[:at] + (b"0", b"9", b"-1", b"99999", b"nan", b"1e30", b" ", b"")[number % 8] + data[at + 1 :]
    return data


def write(folder: Path, extension: str, data: bytes) -> Path:
    """One mutated file with what belongs to it."""
    if extension:
        path = folder / f"image{extension}"
        path.write_bytes(data)
        if extension == ".mhd":
            (folder / "voxels.raw").write_bytes(volume().tobytes("F"))
        return path
    path = folder / "series"
    path.mkdir(exist_ok=True)
    for number, one in enumerate(stack()):
        (path / f"IM{number}").write_bytes(data if number == 1 else saved(one))
    return path


def outcome(path: Path) -> str:
    """Read it in every way: ``WELL_FORMED``, ``REFUSED``, or what is wrong."""
    from xssr_strategy.images.preprocessing import encoder_input
    from xssr_strategy.images.preset import PRESETS
    from xssr_strategy.images.reading import UnreadableImage, read_grid, read_image

    try:
        image = read_image(path)
    except UnreadableImage as error:
        return REFUSED if str(error).isprintable() and "; " in str(error) else f"no sentence: {error!s}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    try:
        grid = read_grid(path)
        values = encoder_input(path, PRESETS["mri" if image.ndim == 4 else "xray"])
    except Exception as error:
        return f"afterwards {type(error).__name__}: {error}"
    if grid.shape[1:] != image.shape[1:]:
        return f"grid {tuple(grid.shape)}, image {tuple(image.shape)}"
    if not (0.0 <= float(values.min()) <= float(values.max()) <= 1.0):
        return "values outside of 0 to 1"
    return WELL_FORMED


def run(files: Sequence[tuple[str, bytes]]) -> Iterator[tuple[int, str]]:
    """(number, outcome) of each; that of a file by which the child died is the name of the signal."""
    begin = 0
    while begin < len(files):
        receiving, sending = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(receiving)
            _child(files, begin, sending)
        os.close(sending)
        with os.fdopen(receiving, encoding="utf-8") as lines:
            for line in lines:
                number, _, found = line.rstrip("\n").partition(" ")
                begin = int(number) + 1
                yield int(number), found
        _, status = os.waitpid(child, 0)
        if status:
            ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {status >> 8}"
            yield begin, ended
            begin += 1


def _child(files: Sequence[tuple[str, bytes]], begin: int, sending: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(begin, len(files)):
            place = Path(folder) / str(number)
            place.mkdir()
            signal.alarm(SECONDS)
            found = outcome(write(place, *files[number]))
            signal.alarm(0)
            os.write(sending, f"{number} {ascii(found)[1:-1]}\n".encode())
    os._exit(0)


def warm_up() -> None:
    """Read each seed here, so that no child has to load the libraries; they must be well-formed."""
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    with tempfile.TemporaryDirectory() as folder:
        for number, (extension, data) in enumerate(seeds()):
            place = Path(folder) / str(number)
            place.mkdir()
            found = outcome(write(place, extension, data))
            if found != WELL_FORMED:
                raise AssertionError(f"seed {number} ({extension}): {found}")


def random_mutations(rng: np.random.Generator) -> list[Mutation]:
    """One to four; half of them in the first part of the file, where headers are."""
    return [
        (KINDS[rng.integers(len(KINDS))], float(rng.random() ** rng.choice([1, 4])), int(rng.integers(2**32)))
        for _ in range(rng.integers(1, 5))
    ]


def main(count: int, seed: int, keep: Callable[[int, str, bytes], None]) -> Counter[str]:
    """A long run; what went wrong is handed to ``keep``."""
    warm_up()
    rng = np.random.default_rng(seed)
    originals = seeds()
    files = [
        (originals[number % len(originals)][0], mutated(originals[number % len(originals)][1], random_mutations(rng)))
        for number in range(count)
    ]
    counts: Counter[str] = Counter()
    for number, found in run(files):
        counts[found if found in (WELL_FORMED, REFUSED) else f"{files[number][0] or 'series'} {found[:100]}"] += 1
        if found not in (WELL_FORMED, REFUSED):
            keep(number, *files[number])
    return counts


class Reader:
    """A child that reads files one by one; it is started anew when a file has ended it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def read(self, path: Path) -> str:
        """As ``outcome``, or the signal by which the child ended."""
        if self._child is None:
            command = [sys.executable, "-m", "tests.support.fuzz", "--read"]
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        child = self._child
        print(path, file=child.stdin, flush=True)
        found = child.stdout.readline()
        if found:
            return found.rstrip("\n")
        self._child = None
        child.stdin.close()
        child.stdout.close()
        return signal.Signals(-child.wait()).name

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.communicate()


def read_for_others() -> None:
    """Answer each path with its outcome."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the libraries print
    warm_up()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin:
        signal.alarm(SECONDS)
        found = outcome(Path(line.rstrip("\n")))
        signal.alarm(0)
        print(ascii(found)[1:-1], file=answers, flush=True)


if __name__ == "__main__" and sys.argv[1] == "--read":
    read_for_others()
elif __name__ == "__main__":
    kept = Path(tempfile.mkdtemp(prefix="fuzz-"))
    started = time.monotonic()
    totals = main(
        int(sys.argv[1]),
        int(sys.argv[2]),
        lambda number, extension, data: (kept / f"{number}{extension or '.series'}").write_bytes(data) and None,
    )
    for text, times in totals.most_common():
        print(f"{times:7} {text}")
    print(f"{time.monotonic() - started:.0f} s; kept in {kept}")
