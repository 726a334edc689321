"""How a network is trained on a few labels: the numbers, and the parts that draw on a seed.

The server's trainer and the simulation train by this recipe; a test holds them to the same weights.
"""

from __future__ import annotations

import torch
from monai.data import DataLoader, Dataset, ThreadDataLoader
from monai.networks.nets import UNet
from monai.optimizers import WarmupCosineSchedule
from torch import nn
from torch.utils.data import RandomSampler

from xssr_strategy.segmentation.network import build_unet
from xssr_strategy.segmentation.plan import SegmentationPlan

# All numbers are our choice, made on two CPU cores with 22 chest X-rays and 20 hippocampi of a pool. Many steps of few
# images: a few labels are learnt far faster so than in large batches, which cost the same for each image.
MAX_EPOCHS = 30
STEPS_PER_EPOCH = 40
BATCH_SIZE = {2: 2, 3: 1}
LEARNING_RATE = 4e-3
WARM_UP = 0.05  # share of the steps
WEIGHT_DECAY = 1e-4


def described(spatial_dims: int) -> dict[str, float]:
    """The numbers of this recipe; results of another are not comparable."""
    return {
        "batch_size": BATCH_SIZE[spatial_dims],
        "learning_rate": LEARNING_RATE,
        "warm_up": WARM_UP,
        "weight_decay": WEIGHT_DECAY,
    }


def new_network(plan: SegmentationPlan, seed: int) -> UNet:
    """The network of a plan, on the CPU, with weights drawn from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_unet(plan.spatial_dims, plan.channels, len(plan.labels) + 1)


def new_optimiser(network: nn.Module) -> torch.optim.Optimizer:
    """AdamW at its peak learning rate; fused, because unfused it costs a quarter of a step of two images."""
    return torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)


def new_schedule(optimiser: torch.optim.Optimizer, steps: int) -> WarmupCosineSchedule:
    """From 0 to the peak learning rate in a straight line, and along a cosine back to 0, in ``steps`` altogether."""
    return WarmupCosineSchedule(optimiser, warmup_steps=round(WARM_UP * steps), t_total=steps)


def epoch_loader(dataset: Dataset, steps: int, batch_size: int, seed: int, num_workers: int = 0) -> DataLoader:
    """An epoch of ``steps`` batches: the labels over and over in random order, or a random part of them.

    Args:
        dataset: its random transforms are seeded anew here.
    """
    # MONAI's loader seeds the transforms from torch's process-wide generator unless it is given one.
    generator = torch.Generator().manual_seed(seed)
    sampler = RandomSampler(dataset, num_samples=steps * batch_size, generator=generator)
    return ThreadDataLoader(
        dataset=dataset, batch_size=batch_size, sampler=sampler, num_workers=num_workers, generator=generator
    )
