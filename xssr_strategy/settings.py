"""Every ``--conf`` key: its type, default and meaning, in one place.

``python -m xssr_strategy.settings`` prints the table of docs/SERVER.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from xssr_strategy.archive.query import Query, is_remote
from xssr_strategy.embedding.catalogue import encoder_names
from xssr_strategy.embedding.encoder import EncoderOptions, is_foundation, learns_from, parse_encoder, takes_weights
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.labels.names import are_labels
from xssr_strategy.segmentation.data import UNLABELLED
from xssr_strategy.segmentation.methods.catalogue import AUTO, method_choices
from xssr_strategy.segmentation.sam2 import parse_side, parse_weights
from xssr_strategy.selection.budget import Budget, parse_budget
from xssr_strategy.selection.catalogue import AUTO_LABELS, DEFAULT, MODEL_BASED, SERVED


def _alpha(text: str) -> float | Literal["auto"]:
    if text == "auto":
        return "auto"
    try:
        if 0.0 <= float(text) <= 1.0:
            return float(text)
    except ValueError:
        pass
    raise ValueError("auto, or a number from 0 (diversity alone) to 1 (novelty alone)")


def parse_labels(text: str) -> tuple[str, ...]:
    """The names of a comma list.

    Raises:
        ValueError: an empty or doubled name; what is allowed.
    """
    names = tuple(name.strip() for name in text.split(","))
    if are_labels(names) and "\\" not in text:
        return names
    raise ValueError(
        "names separated by commas, each once in any case, without 'background' and 'ignore', such as liver,tumour"
    )


def _true_or_false(text: str) -> bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    raise ValueError("true or false")


def _whole(smallest: int, largest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and smallest <= int(text) <= largest:
            return int(text)
        raise ValueError(f"a whole number from {smallest} to {largest}")

    return parse


def _one_of(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text in names:
            return text
        raise ValueError("one of " + ", ".join(names))

    return parse


def _existing(kind: str, is_there: Callable[[Path], bool]) -> Callable[[str], Path]:
    def parse(text: str) -> Path:
        path = Path(text).expanduser()
        if text and is_there(path):
            return path.resolve()
        raise ValueError(f"a {kind} that exists")

    return parse


_folder, _file = _existing("folder", Path.is_dir), _existing("file", Path.is_file)


def _source(text: str) -> Path | Query:
    if is_remote(text) or text.startswith("?"):
        try:
            return Query.parse(text)
        except ValueError:
            pass
    elif text and Path(text).expanduser().is_dir():
        return _folder(text)
    raise ValueError(
        "a folder that exists, or series of an archive: http://HOST/dicom-web?Modality=CT, "
        "or ?StationName=OLD for some of the archive of the studies"
    )


def _path(text: str) -> Path:
    if text:
        return Path(text).expanduser().resolve()
    raise ValueError("a folder")


def _key(default: Any, parse: Callable[[str], Any], allowed: str, meaning: str) -> Any:
    return field(default=default, metadata={"parse": parse, "allowed": allowed, "meaning": meaning})


@dataclass(frozen=True)
class Settings:
    """The app's settings; each attribute is a ``--conf`` key of the same name."""

    source: Path | Query | None = _key(
        None,
        _source,
        "folder, DICOMweb URL, `?KEYWORD=VALUE`",
        "Unlabelled images of the domain you know. Without it novelty is off.",
    )
    source_labels: Path | None = _key(
        None,
        _folder,
        "folder",
        "Labels of the source's images, or images with labels. They train beside yours; `ust_run` needs no other.",
    )
    labels: tuple[str, ...] = _key(
        ("foreground",), parse_labels, "comma list", "Names of the labels 1, 2, ... that annotators draw."
    )
    budget: Budget = _key(
        Budget("5%", None, Decimal(5)), parse_budget, "count or percentage", "How many images you mean to annotate."
    )
    alpha: float | Literal["auto"] = _key(
        "auto", _alpha, "`auto` or 0 to 1", "Weight of novelty against diversity; `auto` calibrates it by coverage."
    )
    combination: Literal["product", "sum"] = _key(
        "product", _one_of("product", "sum"), "`product`, `sum`", "How density enters the score."
    )
    encoder: str = _key(
        "conv_mae",
        parse_encoder,
        ", ".join(f"`{n}`" for n in encoder_names()),
        "What gives images vectors: a masked autoencoder or a contrastive encoder (`poly_cl`; the other two need "
        "`source_labels`), trained here, or a foundation encoder used as it is.",
    )
    encoder_steps: int = _key(800, _whole(1, 10**6), "1 or more", "Optimisation steps of the encoder's training.")
    embed_workers: int = _key(
        1, _whole(1, 1024), "1 or more", "Processes that embed and score; from 2 on of one thread each."
    )
    encoder_weights: Path | None = _key(
        None, _file, "file", "Weights of a foundation encoder; without it those that its library keeps or fetches."
    )
    encoder_slices: int = _key(
        EncoderOptions.slices, _whole(1, 64), "1 to 64", "Slices that a 2-D foundation encoder sees of a volume."
    )
    encoder_pooling: Literal["mean", "max"] = _key(
        EncoderOptions.pooling, _one_of("mean", "max"), "`mean`, `max`", "How the vectors of the slices become one."
    )
    preset: str = _key(
        "auto",
        _one_of("auto", *PRESETS),
        ", ".join(f"`{n}`" for n in ("auto", *PRESETS)),
        "Kind of image; `auto` looks at a few.",
    )
    training: str = _key(
        AUTO,
        _one_of(*method_choices()),
        ", ".join(f"`{n}`" for n in method_choices()),
        "Training method, unless a request names a `method`; `auto` uses unlabelled 2-D images while labels are few.",
    )
    unlabelled: int = _key(
        UNLABELLED, _whole(1, 10**6), "1 or more", "Unlabelled images that a training learns from, at most."
    )
    sam_weights: Path | None = _key(
        None,
        parse_weights,
        "folder",
        "Weights of SAM 2 (`xssr fetch-weights`, extra `[sam]`), for `propagate` and `segmentation_refined`.",
    )
    sam_side: int = _key(
        0, parse_side, "0, or a multiple of 32", "Pixels along a side of what SAM 2 sees; 0 for its own, mostly 1024."
    )
    viewer_strategy: str = _key(
        DEFAULT,
        _one_of(*SERVED, "off"),
        ", ".join(f"`{n}`" for n in (*SERVED, "off")),
        "What answers a viewer that can only ask for `random` (OHIF); `off` leaves it random.",
    )
    round: int = _key(
        5, _whole(1, 10**6), "1 or more", "Images you annotate between two trainings, for `entropy_diversity`."
    )
    shortlist: int = _key(
        3,
        _whole(1, 10**6),
        "1 or more",
        "Uncertain images, for each of a round, among which `entropy_diversity` takes the most diverse.",
    )
    auto_first: str = _key(
        MODEL_BASED["auto"].first,
        _one_of("xssr", "cold_start"),
        "`xssr`, `cold_start`",
        "What `auto` begins with.",
    )
    auto_labels: int = _key(
        AUTO_LABELS,
        _whole(1, 10**6),
        "1 or more",
        "Number of labels from which `auto` goes on with `entropy_diversity`.",
    )
    per_patient: bool = _key(
        False,
        _true_or_false,
        "`true`, `false`",
        "`xssr` hands out no second image of a patient before every patient has one.",
    )
    patients: Path | None = _key(
        None,
        _file,
        "CSV file `image,patient`",
        "Of whom images are, for `per_patient` and `poly_cl`; by default DICOM's PatientID and BIDS' `sub-` say so.",
    )
    lease_minutes: int = _key(
        60, _whole(1, 10**6), "1 or more", "How long an image handed out goes to nobody else; then it comes back."
    )
    workspace: Path | None = _key(
        None,
        _path,
        "folder",
        "Where vectors and networks are kept; `.xssr` in the studies folder by default, below `~/.local/share/xssr` "
        "for an archive.",
    )
    seed: int = _key(0, _whole(0, 2**32 - 1), "0 or more", "Of everything that draws random numbers.")

    @property
    def encoder_options(self) -> EncoderOptions:
        """What a foundation encoder is told."""
        return EncoderOptions(self.encoder_weights, self.encoder_slices, self.encoder_pooling)


def parse_settings(conf: Mapping[str, str], prefix: str = "--conf ") -> Settings:
    """The settings that a ``--conf`` mapping asks for.

    Args:
        conf: key -> text.
        prefix: what stands before a key where the user typed it, for the message.

    Raises:
        UserError: an unknown key or a bad value; one sentence that says what is allowed. Or a library is missing.
    """
    known = {key.name: key for key in fields(Settings)}
    values = {}
    for name, text in conf.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise UserError(f"{prefix}{name}: no such key{hint}; the keys are {', '.join(known)}.")
        try:
            values[name] = known[name].metadata["parse"](str(text).strip())
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"{_typed(prefix, name)} {text}: must be {error}.") from None
    settings = Settings(**values)
    if settings.patients is not None and not (settings.per_patient or "scans" in learns_from(settings.encoder)):
        raise UserError(
            f"{prefix}patients: is read for per_patient and poly_cl alone; add {prefix}per_patient true, or leave it."
        )
    if settings.sam_side and settings.sam_weights is None:
        raise UserError(
            f"{_typed(prefix, 'sam_side')}: is of SAM 2; add {_typed(prefix, 'sam_weights')}, or leave it out."
        )
    if settings.encoder_weights is not None and not takes_weights(settings.encoder):
        why = "holds its own weights" if is_foundation(settings.encoder) else "is trained here"
        raise UserError(
            f"{_typed(prefix, 'encoder_weights')}: encoder {settings.encoder} {why}; leave it out, or name an encoder "
            "that takes weights, such as radimagenet."
        )
    return settings


def _typed(prefix: str, name: str) -> str:
    """A key as the user typed it: options of the command line have hyphens."""
    return prefix + (name.replace("_", "-") if prefix == "--" else name)


def markdown_table() -> str:
    """The keys as docs/SERVER.md shows them."""
    lines = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for key in fields(Settings):
        default = ",".join(key.default) if isinstance(key.default, tuple) else key.default
        shown = "" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        lines.append(f"| `{key.name}` | {key.metadata['allowed']} | {shown} | {key.metadata['meaning']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown_table())
