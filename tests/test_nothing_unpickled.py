"""Nothing of ours runs what stands in a file: the source says so, and files that would run something show it."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import PersistentDataset

import xssr_strategy
from xssr_strategy.embedding.checkpoint import load_encoder
from xssr_strategy.embedding.encoder import build_encoder
from xssr_strategy.embedding.foundation.weights import read_state
from xssr_strategy.embedding.training import _resume
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.segmentation.network import build_unet
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.publication import load_model, publish, warm_start

ROOT = Path(xssr_strategy.__file__).parents[1]
SOURCES = sorted(path for folder in ("xssr_strategy", "apps", "sample-apps") for path in (ROOT / folder).rglob("*.py"))

# What runs, or may run, what stands in a file or a text.
RUNS = {
    *(f"{module}.{name}" for module in ("pickle", "dill", "cloudpickle", "marshal") for name in ("load", "loads")),
    *("pickle.Unpickler", "shelve.open", "joblib.load", "pandas.read_pickle", "pd.read_pickle"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "torch.hub.load", "torch.package.PackageImporter"),
    *("torch.jit.load", "eval", "exec", "compile", "os.system", "os.popen"),
}
ALLOWED = {("embedding/foundation/torchscript.py", "torch.jit.load")}  # the operator names this very file to be run


def calls(source: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_no_source_runs_what_stands_in_a_file() -> None:
    assert len(SOURCES) > 100
    found = set()
    for source in SOURCES:
        for name, call in calls(source):
            words = {word.arg: ast.unparse(word.value) for word in call.keywords}
            unsafe = name == "torch.load" and words.get("weights_only") != "True"
            unsafe |= words.get("allow_pickle", "False") != "False" or words.get("shell", "False") != "False"
            if unsafe or name in RUNS:
                found.add((str(source.relative_to(ROOT / "xssr_strategy")), name))
    assert found == ALLOWED


def test_nothing_is_imported_under_another_name() -> None:
    """Such as ``from torch import load``, which the test above would not see."""
    names = {name.rpartition(".")[2] for name in RUNS if "." in name} | {"load"}
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in (
                "torch",
                "pickle",
                "joblib",
                "yaml",
                "numpy",
                "torch.jit",
            ):
                assert not names & {one.name for one in node.names}, source


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self.canary,)


@pytest.fixture(params=["pickle", "torch", "old torch"])
def evil(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file that makes another one if it is unpickled."""
    canary, file = tmp_path / "canary", tmp_path / "evil.pt"
    content = {"model": Malicious(canary), "identity": "x"}
    if request.param == "pickle":
        file.write_bytes(pickle.dumps(Malicious(canary)))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=request.param == "torch")
    yield file
    assert not canary.exists()
    with pytest.raises(pickle.UnpicklingError):  # it is what it says it is
        torch.load(file, weights_only=True)
    if request.param == "pickle":
        pickle.loads(file.read_bytes())  # noqa: S301
        assert canary.exists()


def test_the_segmentation_network(evil: Path, tmp_path: Path) -> None:
    network, published = build_unet(2, 1, 2), tmp_path / "segmentation.pt"
    publish(network.state_dict(), SegmentationPlan("xray", 2, 1, ("lung",), (), (64, 64)), published)
    evil.replace(published)
    for load in (lambda: load_model(published), lambda: warm_start(network, published)):
        with pytest.raises(UserError, match=r"segmentation\.pt: the segmentation model cannot be read .*train again"):
            load()
    published.replace(evil)


def test_the_encoder_and_its_training(evil: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UserError, match="is not an encoder checkpoint"):
        load_encoder(evil)
    encoder = build_encoder("conv_mae", PRESETS["xray"])
    assert _resume(evil, encoder, torch.optim.AdamW(encoder.parameters()), "x") == (0, [])
    assert "training starts over" in caplog.text


def test_weights_of_a_foundation_encoder(evil: Path) -> None:
    with pytest.raises(UserError, match=r"Python objects|is damaged"):
        read_state(evil)
    safe = evil.rename(evil.with_suffix(".safetensors"))
    with pytest.raises(UserError, match="is damaged"):
        read_state(safe)
    safe.rename(evil)


def test_the_cache_of_a_training(evil: Path, tmp_path: Path) -> None:
    """MONAI's own; the trainer makes it anew for each training, in a folder of its own."""
    cache = PersistentDataset([{"image": 1}], lambda data: data, cache_dir=tmp_path / "cache")
    assert cache[0] == {"image": 1}
    (file,) = (tmp_path / "cache").glob("*.pt")
    file.write_bytes(evil.read_bytes())
    with suppress(pickle.UnpicklingError):
        assert cache[0] == {"image": 1}
