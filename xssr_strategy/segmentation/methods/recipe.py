"""How a network is trained on a few labels: the numbers, and the parts that draw on a seed.

The server's trainer and the simulation train by this recipe; a test holds them to the same weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from monai.optimizers import WarmupCosineSchedule
from torch import nn

from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.planned_network import build_network

# All numbers are our choice, made on two CPU cores with 22 chest X-rays and 20 hippocampi of a pool.
MAX_EPOCHS = 30
STEPS_PER_EPOCH = 40


@dataclass(frozen=True)
class Recipe:
    """The numbers that decide what a training of so many steps learns; results of different ones are not comparable.

    Attributes:
        batch_size: images of a step; in 3-D, windows, of which PyTorch trains two on a processor as fast as one.
        learning_rate: at its peak.
        warm_up: share of the steps over which the learning rate rises.
        weight_decay: of AdamW.
    """

    batch_size: int = 2
    learning_rate: float = 4e-3
    warm_up: float = 0.05
    weight_decay: float = 1e-4

    def optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        """AdamW; fused, because unfused it costs a quarter of a step of two images."""
        weights = network.parameters()
        return torch.optim.AdamW(weights, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)

    def schedule(self, optimiser: torch.optim.Optimizer, steps: int) -> WarmupCosineSchedule:
        """From 0 to the peak rate in a straight line, and along a cosine back to 0, in ``steps`` altogether."""
        return WarmupCosineSchedule(optimiser, warmup_steps=round(self.warm_up * steps), t_total=steps)


# Many steps of few images: a few labels are learnt far faster so than in large batches, which cost the same per image.
RECIPE = Recipe()


def new_network(plan: SegmentationPlan, seed: int) -> nn.Module:
    """The network of a plan, on the CPU, with weights drawn from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_network(plan)
