"""A labelled domain of the demo's phantoms of one scanner, for experiments that need a truth without any doubt.

    python -m benchmarks.phantoms simulations/domains/phantoms
    python -m benchmarks.contrasts simulations/domains/phantoms simulations/domains/phantoms-contrasts

Sixty phantoms, of which twenty are held out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from xssr_strategy.demo.phantoms import SCANNER_A, TARGET_MINORITY, write_phantoms

COUNT, TEST, SEED = 60, 20, 0


def main(out: Path) -> None:
    """Write images, labels and ``test.txt`` below ``out``."""
    names = list(write_phantoms(out / "images", out / "labels", COUNT, SCANNER_A, TARGET_MINORITY, SEED))
    (out / "test.txt").write_text("".join(f"{name}\n" for name in names[-TEST:]))
    print(f"{out}: {COUNT - TEST} phantoms in the pool, {TEST} held out of it")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    main(parser.parse_args().out)
