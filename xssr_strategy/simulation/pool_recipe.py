"""Pools as labs have them, mixed from labelled domains by a recipe: several sites, rare kinds, images that come twice.

seed = 0

[[part]]
folder = "shenzhen"     # from the folder of the recipe
images = 200            # of its pool; all without it

[[part]]
folder = "jsrt"
share = 0.05            # of the mixed pool, before any image comes twice
kind = "film"           # of all its images, for the report
test = 20               # of its test cases; all without it
repeats = 0.1           # share of its images that the pool holds twice
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xssr_strategy.errors import UserError
from xssr_strategy.images.lists import read_text
from xssr_strategy.labels.records import FileNumbers
from xssr_strategy.simulation.domains import Domain, held_out, read_domain

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_KEYS = ("folder", "site", "kind", "images", "share", "test", "repeats")


@dataclass(frozen=True)
class Part:
    """What a recipe takes of one domain.

    Attributes:
        folder: of the domain.
        site: of all its images; None for what its ``sites.csv`` says, else the folder's name.
        kind: of all its images; None for what its ``kinds.csv`` says.
        images: how many of its pool; None for all, or for as many as ``share`` says.
        share: of the mixed pool, before any image comes twice; in (0, 1).
        test: how many of its test cases; None for all.
        repeats: share of its images that the pool holds twice, in [0, 1].
    """

    folder: Path
    site: str | None = None
    kind: str | None = None
    images: int | None = None
    share: float | None = None
    test: int | None = None
    repeats: float = 0.0


def read_recipe(path: Path, option: str = "--pool-from", judged_elsewhere: bool = False) -> Domain:
    """The pool and the test cases that a recipe describes; the same recipe and folders give the same.

    Images are drawn patient by patient, so that those of a patient stay together. A domain without test cases of its
    own holds out a fifth of its patients. Patients of two parts are different ones, whatever their names.

    Args:
        path: TOML file.
        option: by which it was named, for messages.
        judged_elsewhere: whether another domain's test cases judge; then a domain without any holds nothing out.

    Raises:
        UserError: it cannot be read or says what cannot be done.
    """
    try:
        text = tomllib.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise UserError(f"{option} {path}: cannot be read as TOML ({error}).") from error
    try:
        seed, parts = _parsed(text, path.parent)
        domains = [_read(part, judged_elsewhere) for part in parts]
        mixed = replace(_mixed(path, parts, domains, seed), option=option)
        if not mixed.test and not judged_elsewhere:
            raise ValueError("no part has a test case; ask for some by test, or name another domain by --test")
    except ValueError as error:
        raise UserError(f"{option} {path}: {error}.") from error
    except UserError as error:
        raise UserError(f"{option} {path}: {error}") from error
    return mixed


def refuse_source_in_pool(source: Domain, mixed: Domain) -> None:
    """An image of the source in a mixed pool has no novelty, and what learns from labels of the source knows its own.

    Raises:
        UserError: there is one.
    """
    pool = {file.resolve() for file in mixed.images.values()}
    for file in source.images.values():
        if file.resolve() in pool:
            raise UserError(
                f"--source {source.root}: {mixed.root} mixes its images into the pool; name another source."
            )


def _read(part: Part, judged_elsewhere: bool) -> Domain:
    domain = _named(read_domain(part.folder, "folder"), part)
    return domain if judged_elsewhere else held_out(domain)


def _parsed(text: Mapping[str, Any], folder: Path) -> tuple[int, list[Part]]:
    if unknown := text.keys() - {"seed", "part"}:
        raise ValueError(f"the key {min(unknown)} is unknown; a recipe has seed and one [[part]] for each folder")
    seed, tables = text.get("seed", 0), text.get("part")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError("seed must be a whole number from 0")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise ValueError("there is no [[part]]; name at least one, with its folder")
    parts = [_part(number, table, folder) for number, table in enumerate(tables, start=1)]
    shares = [part.share for part in parts if part.share is not None]
    if sum(shares) >= 1 or len(shares) == len(parts):
        raise ValueError(
            "the shares leave nothing for the others; give one part no share and let the rest sum up below 1"
        )
    return seed, parts


def _part(number: int, table: Mapping[str, Any], folder: Path) -> Part:
    if unknown := table.keys() - set(_KEYS):
        raise ValueError(f"part {number}: the key {min(unknown)} is unknown; it may have {', '.join(_KEYS)}")
    for key, value in table.items():
        if key in ("folder", "site", "kind"):
            right, what = isinstance(value, str) and value.strip() != "" and value.isprintable(), "a text of one line"
        elif key in ("images", "test"):
            least = 1 if key == "images" else 0
            right, what = type(value) is int and value >= least, f"a whole number from {least}"
        else:
            right, what = type(value) in (int, float) and 0 <= value <= 1, "a number from 0 to 1"
            if key == "share":
                right, what = right and value not in (0, 1), "a number above 0 and below 1"
        if not right:
            raise ValueError(f"part {number}: {key} must be {what}, not {value}")
    if "folder" not in table:
        raise ValueError(f"part {number} names no folder")
    if "images" in table and "share" in table:
        raise ValueError(f"part {number}: images and share exclude each other; leave one out")
    return Part(**{**table, "folder": folder / table["folder"]})


def _named(domain: Domain, part: Part) -> Domain:
    """With the site and the kind that the recipe gives to all images."""
    sites = domain.sites if part.site is None else dict.fromkeys(domain.images, part.site)
    kinds = domain.kinds if part.kind is None else dict.fromkeys(domain.images, part.kind)
    return replace(domain, sites=sites, kinds=kinds)


def _mixed(path: Path, parts: Sequence[Part], domains: Sequence[Domain], seed: int) -> Domain:
    names = _prefixes(parts, domains)
    counts = _counts(parts, domains)
    rng = np.random.default_rng(seed)
    images: dict[str, tuple[Domain, str, str]] = {}  # id -> its domain, id there, prefix of its patient
    test: set[str] = set()
    for name, part, domain, count in zip(names, parts, domains, counts, strict=True):
        drawn = _drawn(domain, domain.pool, count, rng)
        again = rng.permutation(drawn)[: round(part.repeats * count)].tolist()
        cases = sorted(domain.test)
        cases = _drawn(domain, cases, len(cases) if part.test is None else part.test, rng)
        new = [*((f"{name}-{image}", image) for image in (*drawn, *cases)), *((f"{name}-{i}-again", i) for i in again)]
        for image, own in new:
            if image in images:
                raise ValueError(f"two images would have the id {image}; give the parts other sites")
            images[image] = domain, own, name
        test |= {f"{name}-{case}" for case in cases}
    _refuse_same_files(names, domains)
    found = dict(sorted(images.items()))
    numbers = _numbers(domains)
    recorded = {
        image: domain.numbers.recorded[own]
        for image, (domain, own, _) in found.items()
        if own in domain.numbers.recorded
    }
    return Domain(
        name=path.stem,
        root=path,
        images={image: domain.images[own] for image, (domain, own, _) in found.items()},
        labels={image: domain.labels[own] for image, (domain, own, _) in found.items() if own in domain.labels},
        test=frozenset(test),
        label_names=next((domain.label_names for domain in domains if domain.label_names), ()),
        sites={image: _site(domain, own, name) for image, (domain, own, name) in found.items()},
        patients={image: f"{name}-{domain.patients[own]}" for image, (domain, own, name) in found.items()},
        label_places={image: domain.label_places[own] for image, (domain, own, _) in found.items()},
        numbers=replace(numbers, recorded=recorded),
        kinds={image: domain.kinds[own] for image, (domain, own, _) in found.items() if own in domain.kinds},
    )


def _site(domain: Domain, image: str, name: str) -> str:
    """Its own, or what the ids of its part begin with where nobody has told one: two folders may have one name."""
    return name if domain.sites[image] == domain.name else domain.sites[image]


def _refuse_same_files(names: Sequence[str], domains: Sequence[Domain]) -> None:
    """An image of two parts would be two images of two patients.

    Raises:
        ValueError: there is one.
    """
    seen: dict[Path, str] = {}
    for name, domain in zip(names, domains, strict=True):
        for file in domain.images.values():
            if seen.setdefault(file.resolve(), name) != name:
                raise ValueError(f"{file} is of two parts; name each folder once")


def _prefixes(parts: Sequence[Part], domains: Sequence[Domain]) -> list[str]:
    """What the ids of each part begin with: its site or folder, and its number where that is not enough.

    Ids become names of files.
    """
    said = [part.site or domain.name for part, domain in zip(parts, domains, strict=True)]
    names = [re.sub(r"[^\w.-]+", "-", name)[:40] for name in said]
    return [name if names.count(name) == 1 else f"{name}{number}" for number, name in enumerate(names, start=1)]


def _counts(parts: Sequence[Part], domains: Sequence[Domain]) -> list[int]:
    """Images of the pool that each part gives.

    Raises:
        ValueError: a folder has fewer.
    """
    fixed = [
        len(domain.pool) if part.images is None else part.images for part, domain in zip(parts, domains, strict=True)
    ]
    rest = sum(count for part, count in zip(parts, fixed, strict=True) if part.share is None)
    whole = rest / (1 - sum(part.share or 0 for part in parts))
    counts = []
    for number, (part, domain, count) in enumerate(zip(parts, domains, fixed, strict=True), start=1):
        wanted = count if part.share is None else max(1, round(part.share * whole))
        if wanted > len(domain.pool):
            raise ValueError(
                f"part {number} ({domain.name}): {wanted} images are asked for, its pool has {len(domain.pool)}; ask "
                "for fewer"
            )
        if part.test is not None and part.test > len(domain.test):
            raise ValueError(
                f"part {number} ({domain.name}): {part.test} test cases are asked for, it has {len(domain.test)}; ask "
                "for fewer"
            )
        counts.append(wanted)
    return counts


def _drawn(domain: Domain, images: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """So many images, of patients in a drawn order; the last patient may be cut."""
    patients: dict[str, list[str]] = {}
    for image in images:
        patients.setdefault(domain.patients[image], []).append(image)
    order = rng.permutation(sorted(patients)).tolist()
    return [image for patient in order for image in patients[patient]][:count]


def _numbers(domains: Sequence[Domain]) -> FileNumbers:
    """What all parts say of the numbers in their labels.

    Raises:
        ValueError: they disagree.
    """
    said = {domain.label_names for domain in domains if domain.label_names}
    if len(said) > 1:
        one, other = sorted(said)[:2]
        raise ValueError(
            f"the labels of one part are {','.join(one)}, of another {','.join(other)}; give both the same names in "
            "dataset.json"
        )
    ignoring = {(domain.numbers.label_names, domain.numbers.ignores) for domain in domains}
    if len(ignoring) > 1 and any(ignores for _, ignores in ignoring):
        raise ValueError(
            "one part has voxels that are ignored, another has not, so that a number means two things; mix parts that "
            "agree"
        )
    return replace(domains[0].numbers, recorded={})
