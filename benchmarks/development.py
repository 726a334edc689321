"""A domain made of a pool alone, to choose settings on: the held-out images of the real one are not even linked.

    python -m benchmarks.development ../shared/data/cxr-lung/shenzhen simulations/development/shenzhen

A quarter of the pool's patients become the test cases, the rest the pool. ``xssr simulate --target`` takes the folder.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.domain_files import from_domain_to_folder, write_column
from xssr_strategy.simulation.domains import held_out, read_domain, without_label

SHARE = 0.25


def make(domain: Path, out: Path) -> None:
    """Link the pool's images and labels below ``out``, say of whom and where from they are, and hold out a quarter."""
    source = held_out(read_domain(domain, "DOMAIN"))  # what simulations of the real one draw as test cases stays out
    if without_label(source):
        raise SystemExit(f"{domain}: no label for {without_label(source)[0]}; add it or remove the image.")
    for image in source.pool:
        for kind, file in (("images", source.images[image]), ("labels", source.labels[image])):
            link = out / kind / file.name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(file.resolve())
    for column, told in (("patient", source.patients), ("site", source.sites)):
        write_column(out, column, {image: told[image] for image in source.pool})
    (out / "test.txt").unlink(missing_ok=True)
    test = held_out(read_domain(out, "OUT"), SHARE).test
    (out / "test.txt").write_text("\n".join(sorted(test)) + "\n")
    print(f"{out}: {len(source.pool) - len(test)} images in the pool, {len(test)} held out of it")


if __name__ == "__main__":
    arguments = from_domain_to_folder(__doc__).parse_args()
    make(arguments.domain, arguments.out)
