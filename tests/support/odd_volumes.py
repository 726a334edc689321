"""Broken and odd NIfTI, NRRD and MetaImage files."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from tests.support.image_corpus import DAMAGED, EMBEDDED, PASSED_OVER, Case

Writer = Callable[[Path], object]

SHAPE = (12, 10, 8)
AFFINE = np.diag([1.5, 1.0, 2.0, 1.0])
COMPLEX = "holds complex numbers; export"
FLAT_UNDER_MRI = "is a 2-D image but preset 'mri'"
FOUR = "has four or more dimensions; export a single volume"
MUCH = "would need .* of memory"
FEWER = "holds fewer voxels than its header says"
OUTSIDE = "keeps its voxels in another folder"
SPACING = "spacing of .* not positive"


def volume(*shape: int, dtype: Any = np.int16) -> np.ndarray:
    """Voxels that no compression makes small."""
    return np.random.default_rng(3).integers(0, 1000, shape or SHAPE).astype(dtype)


def nifti(array: np.ndarray | None = None, affine: np.ndarray = AFFINE, **header: Any) -> bytes:
    """A NIfTI file; ``header`` overwrites fields after the voxels were laid out."""
    voxels = volume() if array is None else array
    image = nibabel.Nifti1Image(voxels, affine, dtype=voxels.dtype)
    image.header.set_xyzt_units("mm")
    data = bytearray(image.to_bytes())
    fields = np.ndarray((), image.header.template_dtype, buffer=data)
    for name, value in header.items():
        fields[name] = value
    return bytes(data)


def placed(**header: Any) -> bytes:
    """A NIfTI file whose place follows from ``pixdim`` alone."""
    return nifti(qform_code=0, sform_code=0, **header)


def file(data: bytes) -> Writer:
    """These bytes; compressed if the name says so."""

    def write(path: Path) -> None:
        path.write_bytes(gzip.compress(data) if path.name.lower().endswith(".gz") else data)

    return write


def raw(data: bytes, share: float = 1.0) -> Writer:
    """These bytes, or their first part."""
    return lambda path: path.write_bytes(data[: int(len(data) * share)])


def nrrd(voxels: bytes | None = None, after: str = "", **fields: Any) -> bytes:
    """A NRRD file of 16-bit voxels; ``fields`` overwrite or add lines, ``after`` is added as it is."""
    lines: dict[str, Any] = {
        "type": "short",
        "dimension": 3,
        "space": "left-posterior-superior",
        "sizes": "12 10 8",
        "space directions": "(1.5,0,0) (0,1,0) (0,0,2)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(0,0,0)",
    }
    lines.update({name.replace("_", " "): value for name, value in fields.items()})
    text = "".join(f"{name}: {value}\n" for name, value in lines.items() if value is not None)
    data = volume().tobytes("F") if voxels is None else voxels
    return f"NRRD0005\n{text}{after}\n".encode() + data


def meta(voxels: bytes | None = None, data: str = "LOCAL", **fields: Any) -> bytes:
    """A MetaImage of 16-bit voxels; ``fields`` overwrite or add lines."""
    lines: dict[str, Any] = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": False,
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "0 0 0",
        "ElementSpacing": "1.5 1 2",
        "DimSize": "12 10 8",
        "ElementType": "MET_SHORT",
    }
    lines.update(fields)
    text = "".join(f"{name} = {value}\n" for name, value in lines.items() if value is not None)
    stored = (volume().tobytes("F") if data == "LOCAL" else b"") if voxels is None else voxels
    return f"{text}ElementDataFile = {data}\n".encode() + stored


def compressed_meta(share: float = 1.0, size: int | None = None) -> bytes:
    """A MetaImage with zlib voxels, of which a part is there."""
    packed = zlib.compress(volume().tobytes("F"))
    part = packed[: int(len(packed) * share)]
    return meta(part, CompressedData=True, CompressedDataSize=len(packed) if size is None else size)


def detached(header: bytes, name: str, voxels: bytes | None) -> Writer:
    """A header, and its voxels in a file beside it."""

    def write(path: Path) -> None:
        path.write_bytes(header)
        if voxels is not None:
            (path.parent / name).write_bytes(voxels)

    return write


def _wrong_crc() -> bytes:
    packed = bytearray(gzip.compress(nifti()))
    packed[-6] ^= 0xFF
    return bytes(packed)


_SHEARED = AFFINE + np.array([[0, 0.4, 0.2, 5], [0, 0, 0.3, 6], [0, 0, 0, 7], [0, 0, 0, 0]])
_GZ = gzip.compress(nifti())
_VOXELS = volume().tobytes("F")
_HUGE = nifti(dim=[3, 32767, 32767, 32767, 1, 1, 1, 1])
_COLOUR = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
_NAN = np.full(SHAPE, 1.0, np.float32)
_NAN[0, 0, 0] = np.nan

NIFTI = [
    Case("plain.nii.gz", file(nifti()), EMBEDDED),
    Case("plain.nii", file(nifti()), EMBEDDED),
    Case("sheared.nii.gz", file(nifti(affine=_SHEARED)), EMBEDDED),
    Case("slope 0.nii.gz", file(nifti(scl_slope=0, scl_inter=7)), EMBEDDED),
    Case("slope NaN.nii.gz", file(nifti(scl_slope=np.nan, scl_inter=np.nan)), EMBEDDED),
    Case("slope Inf.nii.gz", file(nifti(scl_slope=np.inf, scl_inter=0)), EMBEDDED),
    Case("intercept Inf.nii.gz", file(nifti(scl_slope=1, scl_inter=np.inf)), DAMAGED),
    *(
        Case(f"{dtype.__name__}.nii.gz", file(nifti(volume(dtype=dtype))), EMBEDDED)
        for dtype in (np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64)
    ),
    Case("too large for float32.nii.gz", file(nifti(np.full(SHAPE, 1e300))), "contains NaN or infinite"),
    Case("complex.nii.gz", file(nifti(volume(dtype=np.complex64))), COMPLEX),
    Case("colour.nii.gz", file(nifti(_COLOUR)), "holds colours"),
    Case("bool type.nii", file(nifti(datatype=1, bitpix=1)), DAMAGED),
    Case("unknown type.nii", file(nifti(datatype=999)), DAMAGED),
    Case("NaN.nii.gz", file(nifti(_NAN)), "contains NaN"),
    Case("Inf.nii.gz", file(nifti(np.where(np.isnan(_NAN), np.inf, _NAN))), "contains NaN or infinite"),
    Case("constant.nii.gz", file(nifti(np.full(SHAPE, 5, np.int16))), EMBEDDED),
    Case("one voxel.nii.gz", file(nifti(volume(1, 1, 1))), FLAT_UNDER_MRI),
    Case("one slice.nii.gz", file(nifti(volume(12, 10, 1))), FLAT_UNDER_MRI),
    Case("two slices.nii.gz", file(nifti(volume(12, 10, 2))), EMBEDDED),
    Case("needle.nii.gz", file(nifti(volume(2, 2, 9000))), EMBEDDED),
    Case("two-dimensional.nii.gz", file(nifti(volume(12, 10))), FLAT_UNDER_MRI),
    Case("one-dimensional.nii.gz", file(nifti(volume(12))), "has 1 dimensions"),
    Case("time.nii.gz", file(nifti(volume(*SHAPE, 4))), FOUR),
    Case("vector.nii.gz", file(nifti(volume(*SHAPE, 1, 3))), FOUR),
    Case("no dimension.nii", file(nifti(dim=[0, 1, 1, 1, 1, 1, 1, 1])), "has no pixels"),
    Case("nine dimensions.nii", file(nifti(dim=[9, 12, 10, 8, 1, 1, 1, 1])), DAMAGED),
    Case("negative size.nii", file(nifti(dim=[3, -12, 10, 8, 1, 1, 1, 1])), DAMAGED),
    Case("size 0.nii", file(nifti(dim=[3, 12, 0, 8, 1, 1, 1, 1])), "has no pixels"),
    Case("huge.nii", file(_HUGE), MUCH),
    Case("huge.nii.gz ", file(_HUGE), PASSED_OVER),
    Case("huge packed.nii.gz", file(_HUGE), MUCH),
    Case("negative spacing.nii", file(placed(pixdim=[1, -1.5, 1, 2, 1, 1, 1, 1])), SPACING),
    Case("spacing 0.nii", file(placed(pixdim=[1, 0, 1, 2, 1, 1, 1, 1])), SPACING),
    Case("spacing NaN.nii", file(placed(pixdim=[1, np.nan, 1, 2, 1, 1, 1, 1])), SPACING),
    Case("spacing 0 beside a good affine.nii", file(nifti(pixdim=[1, 0, 1, 2, 1, 1, 1, 1])), EMBEDDED),
    Case("singular.nii", file(nifti(srow_y=[0, 0, 0, 0])), "unusable affine"),
    Case("singular twice.nii", file(nifti(srow_y=[1.5, 0, 0, 0])), "unusable affine"),
    Case("nearly singular.nii", file(nifti(srow_y=[1.5, 1e-9, 0, 0])), "unusable affine"),
    Case("affine NaN.nii", file(nifti(srow_x=[np.nan, 0, 0, 0])), "unusable affine"),
    Case("affine 1e30.nii", file(nifti(srow_x=[1e30, 0, 0, 0])), "unusable affine"),
    Case("magic.nii", raw(bytes(348) + nifti()[348:]), DAMAGED),
    Case("voxels elsewhere.nii", file(nifti(vox_offset=2**30)), DAMAGED),
    Case("pair.nii", file(nifti(magic=b"ni1")), EMBEDDED),
    Case("text.nii.gz", raw(b"This is a text, whatever its name says.\n" * 9), DAMAGED),
    Case("packed twice.nii.gz", raw(gzip.compress(_GZ)), DAMAGED),
    Case("not packed.nii.gz", raw(nifti()), DAMAGED),
    Case("packed.nii", raw(_GZ), DAMAGED),
    Case("wrong checksum.nii.gz", raw(_wrong_crc()), DAMAGED),
    Case("zeros.nii.gz", raw(bytes(4000)), DAMAGED),
    Case("empty.nii.gz", raw(b""), "is an empty file"),
    *(Case(f"cut at {share:.0%}.nii.gz", raw(_GZ, share), DAMAGED) for share in (0.01, 0.1, 0.5, 0.98)),
    *(Case(f"cut at {share:.0%}.nii", raw(nifti(), share), DAMAGED) for share in (0.05, 0.1, 0.5, 0.98)),
]

NRRD = [
    Case("plain.nrrd", raw(nrrd()), EMBEDDED),
    Case("packed.nrrd", raw(nrrd(gzip.compress(_VOXELS), encoding="gzip")), EMBEDDED),
    Case("no direction.nrrd", raw(nrrd(**{"space": None, "space directions": None, "space origin": None})), EMBEDDED),
    Case("negative direction.nrrd", raw(nrrd(space_directions="(-1.5,0,0) (0,1,0) (0,0,2)")), EMBEDDED),
    Case("sheared.nrrd", raw(nrrd(space_directions="(1.5,0,0) (0.4,1,0) (0,0.3,2)")), EMBEDDED),
    Case("singular.nrrd", raw(nrrd(space_directions="(1.5,0,0) (1.5,0,0) (0,0,2)")), DAMAGED),
    Case("direction 0.nrrd", raw(nrrd(space_directions="(0,0,0) (0,1,0) (0,0,2)")), f"{SPACING}|{DAMAGED}"),
    Case("direction NaN.nrrd", raw(nrrd(space_directions="(nan,0,0) (0,1,0) (0,0,2)")), f"{SPACING}|{DAMAGED}"),
    Case(
        "negative spacing.nrrd",
        raw(nrrd(**{"space": None, "space directions": None, "space origin": None, "spacings": "-1.5 1 2"})),
        SPACING,
    ),
    Case(
        "spacing 0.nrrd",
        raw(nrrd(**{"space": None, "space directions": None, "space origin": None, "spacings": "0 1 2"})),
        DAMAGED,
    ),
    Case("int64.nrrd", raw(nrrd(volume(dtype=np.int64).tobytes("F"), type="int64")), EMBEDDED),
    Case("uint64.nrrd", raw(nrrd(volume(dtype=np.uint64).tobytes("F"), type="uint64")), EMBEDDED),
    Case("double.nrrd", raw(nrrd(volume(dtype=np.float64).tobytes("F"), type="double")), EMBEDDED),
    Case("block.nrrd", raw(nrrd(type="block", after="block size: 2\n")), DAMAGED),
    Case("huge.nrrd", raw(nrrd(sizes="2000000 2000000 2000000")), MUCH),
    Case("overflowing.nrrd", raw(nrrd(sizes="4294967296 4294967296 4294967296")), f"{MUCH}|{DAMAGED}"),
    Case("size 0.nrrd", raw(nrrd(sizes="12 0 8")), DAMAGED),
    Case("fewer sizes.nrrd", raw(nrrd(sizes="12 10")), DAMAGED),
    Case(
        "time.nrrd",
        raw(
            nrrd(
                _VOXELS * 3,
                dimension=4,
                sizes="12 10 8 3",
                kinds="domain domain domain time",
                **{"space": None, "space directions": None, "space origin": None},
            )
        ),
        FOUR,
    ),
    Case("passwords.nrrd", raw(nrrd(b"", type="uchar", sizes="4 4 4", after="data file: /etc/passwd\n")), OUTSIDE),
    Case("datafile.nrrd", raw(nrrd(b"", type="uchar", sizes="4 4 4", after="datafile: /etc/passwd\n")), OUTSIDE),
    Case("up.nrrd", raw(nrrd(b"", type="uchar", sizes="4 4 4", after="Data File: ../secret.raw\n")), OUTSIDE),
    Case("list.nrrd", raw(nrrd(b"/etc/passwd\n", type="uchar", after="data file: LIST\n")), OUTSIDE),
    Case("pattern.nrrd", raw(nrrd(b"", after="data file: /etc/%d 1 8 1 2\n")), OUTSIDE),
    Case("beside.nrrd", detached(nrrd(b"", after="data file: beside.img\n"), "beside.img", _VOXELS), EMBEDDED),
    Case("gone.nrrd", raw(nrrd(b"", after="data file: gone.img\n")), DAMAGED),
    Case("packed, fewer.nrrd", raw(nrrd(gzip.compress(_VOXELS), encoding="gzip", sizes="1999 10 8")), DAMAGED),
    Case("bz2.nrrd", raw(nrrd(bz2.compress(_VOXELS), encoding="bzip2")), "is packed with bzip2"),
    Case("text.nrrd", raw(b"This is a text, whatever its name says.\n" * 9), DAMAGED),
    *(Case(f"cut at {share:.0%}.nrrd", raw(nrrd(), share), DAMAGED) for share in (0.02, 0.1, 0.5, 0.98)),
    *(
        Case(f"packed, cut at {share:.0%}.nrrd", raw(nrrd(gzip.compress(_VOXELS), encoding="gzip"), share), DAMAGED)
        for share in (0.3, 0.9)
    ),
]

META = [
    Case("plain.mha", raw(meta()), EMBEDDED),
    Case("packed.mha", raw(compressed_meta()), EMBEDDED),
    Case("colours.mha", raw(meta(_VOXELS * 3, ElementNumberOfChannels=3)), EMBEDDED),
    Case("two channels.mha", raw(meta(_VOXELS * 2, ElementNumberOfChannels=2)), "has 2 channels"),
    Case(
        "time.mha",
        raw(
            meta(
                _VOXELS * 2,
                NDims=4,
                DimSize="12 10 8 2",
                ElementSpacing="1 1 1 1",
                Offset="0 0 0 0",
                TransformMatrix="1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1",
            )
        ),
        FOUR,
    ),
    Case("negative spacing.mha", raw(meta(ElementSpacing="-1.5 1 2")), SPACING),
    Case("spacing 0.mha", raw(meta(ElementSpacing="0 1 2")), SPACING),
    Case("spacing NaN.mha", raw(meta(ElementSpacing="nan 1 2")), f"{SPACING}|{DAMAGED}"),
    Case("singular.mha", raw(meta(TransformMatrix="1 0 0 1 0 0 0 0 1")), DAMAGED),
    Case("sheared.mha", raw(meta(TransformMatrix="1 0 0 0.2 0.98 0 0 0 1")), EMBEDDED),
    Case("huge.mha", raw(meta(DimSize="1000000 1000000 1000000")), MUCH),
    Case("huge when unpacked.mha", raw(compressed_meta(size=2**40)), DAMAGED),
    *(Case(f"{count} dimensions.mha", raw(meta(NDims=count)), DAMAGED) for count in (0, -1, 99999, "2.5", "")),
    Case("packed, fewer.mha", raw(compressed_meta().replace(b"12 10 8", b"1999 10 8")), FEWER),
    Case("negative size.mha", raw(meta(DimSize="-12 10 8")), f"{DAMAGED}|{MUCH}"),
    Case("passwords.mha", raw(meta(data="/etc/passwd", DimSize="4 4 4", ElementType="MET_UCHAR")), OUTSIDE),
    Case("plain.mhd", detached(meta(data="plain.raw"), "plain.raw", _VOXELS), EMBEDDED),
    Case(
        "packed.mhd",
        detached(meta(data="packed.zraw", CompressedData=True), "packed.zraw", zlib.compress(_VOXELS)),
        EMBEDDED,
    ),
    Case("gone.mhd", raw(meta(data="gone.raw")), DAMAGED),
    Case("short.mhd", detached(meta(data="short.raw"), "short.raw", _VOXELS[:900]), DAMAGED),
    Case("empty.mhd", detached(meta(data="empty.raw"), "empty.raw", b""), DAMAGED),
    Case("passwords.mhd", raw(meta(data="/etc/passwd", DimSize="4 4 4", ElementType="MET_UCHAR")), OUTSIDE),
    Case("up.mhd", raw(meta(data="../secret.raw")), OUTSIDE),
    Case("list.mhd", raw(meta(b"/etc/passwd\n", data="LIST")), OUTSIDE),
    Case("pattern.mhd", raw(meta(data="/etc/pass%d 1 8 1")), OUTSIDE),
    Case("itself.mhd", raw(meta(data="itself.mhd")), DAMAGED),
    Case("text.mhd", raw(b"This is a text, whatever its name says.\n" * 9), DAMAGED),
    *(Case(f"cut at {share:.0%}.mha", raw(meta(), share), DAMAGED) for share in (0.01, 0.1, 0.5, 0.98)),
    *(Case(f"packed, cut at {share:.0%}.mha", raw(compressed_meta(share)), DAMAGED) for share in (0.3, 0.9)),
]
