"""A published network as a MONAI bundle, which ``python -m monai.bundle run`` runs without this package.

    configs/metadata.json   what the network is, sees and puts out
    configs/inference.json  from the images of ``dataset_dir`` to masks in ``output_dir``
    models/model.pt         the weights

The bundle reads and resamples by MONAI's own transforms: its masks differ from the server's in some voxels at the
border, as the two interpolate in other ways.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from xssr_strategy import __version__
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.segmentation.network import CHANNELS, RESIDUAL_UNITS, side_multiple
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.publication import load_model
from xssr_strategy.storage.atomic_files import write_atomic
from xssr_strategy.storage.tensor_files import save_tensors

_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"


def write_bundle(model: Path, out: Path) -> SegmentationPlan:
    """Write the bundle of a model file; its plan.

    Raises:
        UserError: the model cannot be read, or its network is none of MONAI's own.
        OSError: the folder cannot be written.
    """
    network, plan = load_model(model)
    if plan.widths or plan.network_dims != plan.spatial_dims:
        raise UserError(
            f"{model}: its network is not one of MONAI's own, which a bundle could name; train with another method, "
            "such as supervised, and export that."
        )
    write_weights(network, out / "models" / "model.pt")
    for name, content in (("metadata", metadata(plan)), ("inference", inference(plan))):
        write_atomic(out / "configs" / f"{name}.json", (json.dumps(content, indent=4) + "\n").encode())
    return plan


def write_weights(network: nn.Module, file: Path) -> None:
    """The ``state_dict`` alone, as bundles keep it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_tensors({name: value.contiguous() for name, value in network.state_dict().items()}, file)


def metadata(plan: SegmentationPlan) -> dict[str, Any]:
    """What MONAI's specification asks for."""
    classes = {"0": "background", **{str(number): name for number, name in enumerate(plan.labels, start=1)}}
    shape = [f"{side_multiple(plan.spatial_dims)}*n"] * plan.spatial_dims
    sees = {
        "type": "image",
        "format": "RGB" if plan.channels == 3 else "magnitude",
        "modality": plan.preset,
        "num_channels": plan.channels,
        "spatial_shape": shape,
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": plan.spatial_dims == 3,
        "channel_def": {str(channel): name for channel, name in enumerate("RGB" if plan.channels == 3 else ["image"])},
    }
    gives = {
        "type": "image",
        "format": "segmentation",
        "num_channels": len(classes),
        "spatial_shape": shape,
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": plan.spatial_dims == 3,
        "channel_def": classes,
    }
    return {
        "schema": _SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": f"exported by xssr-strategy {__version__}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {"nibabel": version("nibabel"), "pytorch-ignite": "0.5.3", "itk": version("itk")},
        "name": f"segmentation of {', '.join(plan.labels)}",
        "task": f"segmentation of {', '.join(plan.labels)}",
        "description": f"{plan.spatial_dims}-D residual U-Net, trained on few labels",
        "authors": "exported by xssr-strategy",
        "copyright": "of whoever trained it",
        "intended_use": "research only, not a medical device",
        "network_data_format": {"inputs": {"image": sees}, "outputs": {"pred": gives}},
    }


def inference(plan: SegmentationPlan) -> dict[str, Any]:
    """From a folder of images to masks."""
    preset = PRESETS[plan.preset]
    ending = ".nii.gz" if plan.spatial_dims == 3 else ".png"
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "dataset_dir": "images",
        "output_dir": "$os.path.join(@bundle_root, 'eval')",
        "datalist": f"$sorted(glob.glob(os.path.join(@dataset_dir, '*{ending}')))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "UNet",
            "spatial_dims": plan.spatial_dims,
            "in_channels": plan.channels,
            "out_channels": len(plan.labels) + 1,
            "channels": list(CHANNELS[plan.spatial_dims]),
            "strides": [2] * (len(CHANNELS[plan.spatial_dims]) - 1),
            "num_res_units": RESIDUAL_UNITS,
            "norm": "INSTANCE",
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": _before(plan, preset)},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': path} for path in @datalist]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "shuffle": False},
        "inferer": _inferer(plan),
        "postprocessing": {"_target_": "Compose", "transforms": _after(plan, ending)},
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "$os.path.join(@bundle_root, 'models', 'model.pt')",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
            }
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
            "amp": False,
        },
        "initialize": ["$setattr(torch.backends.cudnn, 'benchmark', False)"],
        "run": ["$@evaluator.run()"],
    }


def _before(plan: SegmentationPlan, preset: Preset) -> list[dict[str, Any]]:
    """Reading; grey values as ``scale_intensity`` has them; then the grid of the plan."""
    if preset.window is not None:
        low, high = preset.window
        grey: dict[str, Any] = {"_target_": "ScaleIntensityRanged", "a_min": low, "a_max": high}
    else:
        low, high = preset.percentiles
        grey = {"_target_": "ScaleIntensityRangePercentilesd", "lower": low, "upper": high}
    grid: list[dict[str, Any]] = [
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
        {"_target_": "Spacingd", "keys": "image", "pixdim": list(plan.spacing), "mode": "bilinear"},
    ]
    if plan.spatial_dims == 2:
        grid = [
            {
                "_target_": "Resized",
                "keys": "image",
                "spatial_size": list(plan.roi),
                "mode": "bilinear",
                "anti_aliasing": True,
            }
        ]
    return [
        {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
        {**grey, "keys": "image", "b_min": 0.0, "b_max": 1.0, "clip": True},
        *grid,
        {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float32"},
    ]


def _inferer(plan: SegmentationPlan) -> dict[str, Any]:
    """As ``build_inferer``."""
    if plan.spatial_dims == 2:
        return {"_target_": "SimpleInferer"}
    return {
        "_target_": "SlidingWindowInferer",
        "roi_size": list(plan.roi),
        "sw_batch_size": 4,
        "overlap": 0.5,
        "mode": "gaussian",
    }


def _after(plan: SegmentationPlan, ending: str) -> list[dict[str, Any]]:
    """Probabilities back onto the voxels of the image, then the likeliest label."""
    save: dict[str, Any] = {
        "_target_": "SaveImaged",
        "keys": "pred",
        "output_dir": "@output_dir",
        "output_postfix": "seg",
        "output_ext": ending,
        "output_dtype": "$numpy.uint8",
        "resample": False,
        "separate_folder": False,
    }
    return [
        {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
            "to_tensor": True,
        },
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        save,
    ]
