"""RadImageNet: a ResNet-50 trained on 1.35 million CT, MR and ultrasound images (Mei et al. 2022).

Mei et al., RadImageNet: An Open Radiologic Deep Learning Research Dataset for Effective Transfer Learning,
Radiology: Artificial Intelligence 2022, doi 10.1148/ryai.210315.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from xssr_strategy.embedding.encoder import Encoder, EncoderOptions, Foundation, register_foundation
from xssr_strategy.embedding.foundation.frozen import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    FrozenEncoder,
    FrozenNetwork,
    first_line,
)
from xssr_strategy.embedding.foundation.weights import BY, digest_of, load_exactly, read_state
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset

_NAME = "radimagenet"
_SIZE = 224
# The authors' file numbers the children of torchvision's ResNet; 2 and 3 (ReLU, pooling) have no weights.
_CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}


def torchvision_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``backbone.4.0.conv1.weight`` -> ``layer1.0.conv1.weight``, and the classifier ``fc`` left out.

    Names that are torchvision's already, or nobody's, stay as they are.
    """
    renamed = {}
    for key, value in state.items():
        words = key.split(".")
        if words[0] == "backbone" and len(words) > 2 and words[1] in _CHILDREN:
            words = [_CHILDREN[words[1]], *words[2:]]
        if words[0] != "fc":
            renamed[".".join(words)] = value
    return renamed


def radimagenet(argument: str, preset: Preset, options: EncoderOptions) -> Encoder:
    """ResNet-50 without its classifier: 2048 numbers, the mean of the last feature map.

    Raises:
        UserError: torchvision or the weights are missing, or the weights are others.
    """
    try:
        from torchvision.models import resnet50
    except (ImportError, RuntimeError) as error:  # a torchvision of another torch raises the second
        raise UserError(
            f"encoder {_NAME}: torchvision cannot be imported ({first_line(error)}); install it with "
            "pip install 'xssr-strategy[foundation]'."
        ) from error
    if options.weights is None:
        raise UserError(
            f"encoder {_NAME}: needs the file ResNet50.pt of RadImageNet's PyTorch models; download it as "
            f"https://github.com/BMEII-AI/RadImageNet says and name it {BY}."
        )
    with torch.device("meta"):
        network = resnet50(weights=None)
    network.fc = nn.Identity()
    load_exactly(network, torchvision_names(read_state(options.weights)), options.weights, "RadImageNet's ResNet-50")
    identity = f"{_NAME}:{digest_of(options.weights)}"
    frozen = FrozenNetwork(network, identity, 2, 3, _SIZE, IMAGENET_MEAN, IMAGENET_STD)
    return FrozenEncoder(_NAME, frozen, preset, options)


register_foundation(Foundation(_NAME, radimagenet))
