"""All encoders of this package, registered: import this module to find each by its name."""

from xssr_strategy.embedding import conv_mae, vit_mae
from xssr_strategy.embedding.encoder import build_encoder, encoder_names

__all__ = ["build_encoder", "conv_mae", "encoder_names", "vit_mae"]
