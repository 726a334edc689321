"""All encoders of this package, registered: import this module to find each by its name."""

from xssr_strategy.embedding import conv_mae, poly_cl, vit_mae
from xssr_strategy.embedding.encoder import build_encoder, encoder_names
from xssr_strategy.embedding.foundation import bundle, radimagenet, timm_models, torchscript

__all__ = [
    "build_encoder",
    "bundle",
    "conv_mae",
    "encoder_names",
    "poly_cl",
    "radimagenet",
    "timm_models",
    "torchscript",
    "vit_mae",
]
