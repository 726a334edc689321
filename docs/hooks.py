"""Pages of the site that are made from the software: the README, the commands, the server's routes, the Python API."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
WIDTH = "100"  # columns of the commands' help

PYTHON = {
    "Selection": ("xssr_strategy.selection", "Vectors in, picks out. No class of it needs MONAI or MONAI Label."),
    "Embedding": ("xssr_strategy.embedding", "Images in, vectors out."),
    "Segmentation": ("xssr_strategy.segmentation", "Labels in, networks out."),
}
SELECTION = (
    "base.Selection",
    "base.Selector",
    "xssr.XSSR",
    "incremental.IncrementalSelection",
    "core_set.CoreSet",
    "facility_location.FacilityLocation",
    "graph_coverage.GraphCoverage",
    "prob_cover.ProbCover",
    "typi_clust.TypiClust",
    "k_means.KMeans",
    "cold_start.ColdStart",
    "entropy_diversity.EntropyDiversity",
    "clasp_pe.ClaspPE",
    "random.Random",
    "advice.coverage_curve",
    "advice.advise",
    "beside_network.beside_network",
    "for_target.select_source",
)
EMBEDDING = (
    "encoder.Encoder",
    "encoder.TrainedEncoder",
    "pool.embed_pool",
    "store.EmbeddingStore",
    "standardise.standardise",
)
SEGMENTATION = (
    "methods.base.TrainingMethod",
    "training.train",
    "uncertainty.predictive_entropy",
    "mask_quality.MaskQuality",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere or nowhere."""
    made = {
        "index.md": (ROOT / "README.md").read_text(encoding="utf-8"),
        "CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        "reference/commands.md": commands(),
        "reference/routes.md": routes(),
        "reference/python.md": python(),
    }
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of pages in the repository, as they are in the site."""
    text = markdown.replace("](../CONTRIBUTING.md", "](CONTRIBUTING.md")
    if page.file.src_uri in ("index.md", "CONTRIBUTING.md"):
        text = text.replace("](docs/", "](").replace("](CITATION.cff)", "](https://citation-file-format.github.io)")
    return text


def commands() -> str:
    """The help of each command."""
    os.environ["COLUMNS"] = WIDTH
    sys.path.insert(0, str(ROOT))
    from xssr_strategy.cli import build_parser

    parser = build_parser()
    (each,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    about = {one.dest: one.help for one in each._choices_actions}
    text = ["# Commands\n\n[What they are for](../COMMANDS.md), with examples.\n"]
    for name, command in each.choices.items():
        text.append(f"## xssr {name}\n\n{about[name]}\n\n```text\n{command.format_help().rstrip()}\n```\n")
    return "\n".join(text)


def routes() -> str:
    """All routes of the application."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("MONAI_LABEL_APP_DIR", "MONAI_LABEL_STUDIES"):
            os.environ[name] = folder
        from monailabel.app import app

        from xssr_strategy.web.map_routes import router

        app.include_router(router)
        described = app.openapi()["paths"]
    rows = [
        f"| `{verb.upper()} {path}` | {re.sub('^[A-Z ]*: ', '', one['summary'].strip())} | {_parameters(one)} |"
        for path, verbs in described.items()
        for verb, one in verbs.items()
    ]
    head = "# Routes\n\nAll requests. [HTTP](../HTTP.md) describes answers and refusals.\n"
    return "\n".join([head, "| request | what it does | in the address |", "|---|---|---|", *rows, ""])


def _parameters(described: dict) -> str:
    return ", ".join(f"`{one['name']}`" for one in described.get("parameters", []) if one["in"] in ("query", "path"))


def python() -> str:
    """The classes and functions that others build on."""
    text = ["# Python\n"]
    for (title, (package, about)), names in zip(PYTHON.items(), (SELECTION, EMBEDDING, SEGMENTATION), strict=True):
        text.append(f"## {title}\n\n{about}\n")
        text += [f"::: {package}.{name}\n" for name in names]
    return "\n".join(text)
