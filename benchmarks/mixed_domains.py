r"""Folders for the mixed-domain protocol of MiDSS: labels in one domain, none in the others, test cases of all.

    python -m benchmarks.mixed_domains ../shared/data/prostate-slices/B ../shared/data/prostate-slices/D \
        simulations/domains/prostate-B --labelled B
    xssr simulate --source simulations/domains/prostate-B/source --target simulations/domains/prostate-B/target \
        --strategies source-only --from-labels 20 --training supervised,ust_run --out simulations/prostate-B

The source is the pool of the labelled domain. The pool of the target is that of all others. ``sites.csv`` tells which
domain each image is of. The test cases are those that the domains hold out, or, where one holds out nothing, a quarter
of its patients, or of its images if no ``patients.csv`` tells the patients. With ``--development``, to choose settings
by, held-out images are not even linked: the test cases are such a quarter of each pool.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from xssr_strategy.simulation.domains import Domain, read_domain

SHARE = 0.25  # of the patients, held out for development


def main(domains: Sequence[Path], labelled: str, out: Path, development: bool) -> None:
    """Link images and labels below ``out``."""
    read = [read_domain(folder, "DOMAIN") for folder in domains]
    if labelled not in {domain.name for domain in read}:
        raise SystemExit(f"--labelled {labelled}: is none of {', '.join(domain.name for domain in read)}.")
    tests: list[str] = []
    sites: list[tuple[str, str]] = []
    for domain in read:
        test = held_out_patients(domain) if development or not domain.test else set(domain.test)
        pool = sorted(set(domain.pool) - test)
        in_target = sorted(test) if domain.name == labelled else [*pool, *sorted(test)]
        if domain.name == labelled:
            link(domain, pool, out / "source")
        sites += [(name, domain.name) for name in link(domain, in_target, out / "target")]
        tests += [f"{domain.name}_{image}" for image in sorted(test)]
        print(f"{domain.name}: {len(pool)} {'labelled' if domain.name == labelled else 'unlabelled'}, {len(test)} test")
    (out / "target" / "test.txt").write_text("\n".join(tests) + "\n")
    with (out / "target" / "sites.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "site"), *sites])


def held_out_patients(domain: Domain) -> set[str]:
    """Images of the pool of a quarter of its patients."""
    patients = patients_of(domain)
    pool = domain.pool
    everybody = sorted({patients.get(image, image) for image in pool})
    count = max(1, round(SHARE * len(everybody)))
    drawn = set(np.random.default_rng(0).permutation(everybody)[:count].tolist())
    return {image for image in pool if patients.get(image, image) in drawn}


def patients_of(domain: Domain) -> dict[str, str]:
    """Image -> patient, where the domain tells."""
    file = domain.root / "patients.csv"
    if not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8") as rows:
        return {row["image"]: row["patient"] for row in csv.DictReader(rows)}


def link(domain: Domain, images: Iterable[str], folder: Path) -> list[str]:
    """Link images with their labels, the domain's name before theirs; the names."""
    names = []
    for image in images:
        names.append(f"{domain.name}_{image}")
        for kind, file in (("images", domain.images[image]), ("labels", domain.labels[image])):
            place = folder / kind / f"{domain.name}_{file.name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.is_symlink():
                place.symlink_to(file.resolve())
    return names


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domains", type=Path, nargs="+", help="labelled folders")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--labelled", required=True, help="name of the domain whose labels are used")
    parser.add_argument("--development", action="store_true", help="of the pools alone, to choose settings")
    main(**vars(parser.parse_args()))
