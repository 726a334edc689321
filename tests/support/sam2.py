"""SAM 2 as small as its library allows, with drawn weights, for tests of every path that real weights take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

SIDE, HIDDEN = 128, 128


def tiny_config() -> Any:
    """A configuration of 1.2 million parameters for squares of 128 pixels."""
    from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VisionConfig
    from transformers.models.sam2_video.configuration_sam2_video import (
        Sam2VideoMaskDecoderConfig,
        Sam2VideoPromptEncoderConfig,
    )

    hiera = Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[SIDE, SIDE],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 1, 1],
        window_size_per_stage=[8, 4, 8, 4],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[2, 2],
    )
    vision = Sam2VisionConfig(
        backbone_config=hiera,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
        fpn_hidden_size=HIDDEN,
    )
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(hidden_size=HIDDEN, image_size=SIDE, mask_input_channels=8),
        mask_decoder_config=Sam2VideoMaskDecoderConfig(
            hidden_size=HIDDEN, num_attention_heads=4, mlp_dim=128, iou_head_hidden_dim=64
        ),
        image_size=SIDE,
        multimask_output_in_sam=False,
        multimask_output_for_tracking=False,
        memory_attention_hidden_size=HIDDEN,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=128,
        memory_attention_rope_feat_sizes=[SIDE // 16] * 2,
        memory_encoder_hidden_size=HIDDEN,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=HIDDEN,
        memory_fuser_embed_dim=HIDDEN,
        memory_fuser_intermediate_dim=128,
    )


def tiny_network(seed: int = 0, scale: float = 1.0) -> Any:
    """The network with weights drawn from ``seed``, in evaluation mode.

    Args:
        scale: of the kernels; with 1, as the library draws them, nothing that the network sees changes much.
    """
    from transformers import Sam2VideoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Sam2VideoModel(tiny_config()).eval()
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim > 1:
                value *= scale
    return network


def write_weights(network: Any, folder: Path) -> Path:
    """A folder as one that is fetched."""
    from transformers import Sam2ImageProcessor, Sam2VideoProcessor, Sam2VideoVideoProcessor

    square, masks = {"height": SIDE, "width": SIDE}, {"height": SIDE // 4, "width": SIDE // 4}
    processor = Sam2VideoProcessor(
        image_processor=Sam2ImageProcessor(size=square, mask_size=masks),
        video_processor=Sam2VideoVideoProcessor(size=square),
        target_size=SIDE,
    )
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
