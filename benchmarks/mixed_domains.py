r"""Folders for the mixed-domain protocol of MiDSS: labels in one domain, none in the others, test cases of all.

    python -m benchmarks.mixed_domains ../shared/data/prostate-slices/B ../shared/data/prostate-slices/D \
        simulations/domains/prostate-B --labelled B
    xssr simulate --source simulations/domains/prostate-B/source --target simulations/domains/prostate-B/target \
        --strategies source-only --from-labels 20 --training supervised,ust_run --out simulations/prostate-B

The source is the pool of the labelled domain. The pool of the target is that of all others. ``sites.csv`` tells which
domain each image is of, ``patients.csv`` of whom. The test cases are those that the domains hold out, or, where one
holds out nothing, a quarter of its patients, or of its images if no ``patients.csv`` tells the patients. With
``--development``, to choose settings by, held-out images are not even linked: the test cases are such a quarter of each
pool.
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
    facts: list[tuple[str, str, str]] = []
    for domain in read:
        test = held_out_patients(domain) if development or not domain.test else set(domain.test)
        pool = sorted(set(domain.pool) - test)
        in_target = sorted(test) if domain.name == labelled else [*pool, *sorted(test)]
        if domain.name == labelled:
            link(domain, pool, out / "source")
        names = link(domain, in_target, out / "target")
        patients = (f"{domain.name}_{domain.patients[image]}" for image in in_target)
        facts += [(name, domain.name, patient) for name, patient in zip(names, patients, strict=True)]
        tests += [f"{domain.name}_{image}" for image in sorted(test)]
        print(f"{domain.name}: {len(pool)} {'labelled' if domain.name == labelled else 'unlabelled'}, {len(test)} test")
    (out / "target" / "test.txt").write_text("\n".join(tests) + "\n")
    for place, column in enumerate(("site", "patient"), start=1):
        with (out / "target" / f"{column}s.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("image", column), *((row[0], row[place]) for row in facts)])


def held_out_patients(domain: Domain) -> set[str]:
    """Images of the pool of a quarter of its patients."""
    pool = domain.pool
    everybody = sorted({domain.patients[image] for image in pool})
    count = max(1, round(SHARE * len(everybody)))
    drawn = set(np.random.default_rng(0).permutation(everybody)[:count].tolist())
    return {image for image in pool if domain.patients[image] in drawn}


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
