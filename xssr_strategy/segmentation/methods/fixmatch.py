"""FixMatch with CutMix: the simple rival that a semi-supervised method has to beat."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from xssr_strategy.segmentation.methods.semi_supervised import (
    Consistency,
    Guess,
    Lesson,
    SemiSupervised,
    Views,
    copy_paste_boxes,
    guess,
    mix,
    mix_guess,
    ramp_up,
    trusted_loss,
)


class _FixMatchConsistency(Consistency):
    def lesson(self, views: Views, done: float) -> Lesson:
        with torch.no_grad():
            plain = guess(self.teacher(views.weak))
        box = copy_paste_boxes(views.strong, self.rng)
        others = Guess(plain.label.roll(1, 0), plain.trusted.roll(1, 0))
        mixed, wanted = mix(views.strong, views.strong.roll(1, 0), box), mix_guess(plain, others, box)
        logits, learnt = self.student(torch.cat([views.image, mixed])).float().split([len(views.image), len(mixed)])
        return Lesson(logits, {"consistency": ramp_up(done) * trusted_loss(learnt, wanted)}, plain)


class FixMatch(SemiSupervised):
    """FixMatch (Sohn et al., arXiv 2001.07685) with a mean teacher and CutMix (French et al., arXiv 1906.01916).

    The teacher guesses the labels of weakly augmented images. The student learns them on strongly augmented ones, each
    with a box from another of the batch. The numbers are UST-RUN's, so that a comparison is one of the methods.
    """

    def consistency(self, student: nn.Module, teacher: nn.Module, rng: np.random.Generator) -> Consistency:
        """One loss."""
        return _FixMatchConsistency(student, teacher, rng)
