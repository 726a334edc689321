"""What the software assumes of a kind of image: its dimensions, its grey values, the sizes the networks see."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Assumptions about one kind of image; all numbers are our choice unless a source is named.

    Attributes:
        name: one of ``PRESETS``.
        spatial_dims: 2 or 3.
        channels: 1 (grey) or 3 (RGB); an image with another number of channels is converted.
        window: fixed range of stored values that becomes [0, 1] (Hounsfield units for CT), or None.
        percentiles: where ``window`` is None, these percentiles of the image become 0 and 1.
        encoder_size: side, in pixels, of the square or cube that the encoder sees.
        encoder_patch: side, in pixels, of the patches that the masked autoencoder hides.
        encoder_channels: feature maps per stage of the convolutional encoder; each stage halves the side.
        segmentation_size: 2-D only: side of the square that the U-Net sees.
        segmentation_roi: 3-D only: largest window, in voxels, that the U-Net sees at once.
    """

    name: str
    spatial_dims: int
    channels: int
    window: tuple[float, float] | None
    percentiles: tuple[float, float]
    encoder_size: int
    encoder_patch: int
    encoder_channels: tuple[int, ...]
    segmentation_size: int
    segmentation_roi: int


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("xray", 2, 1, None, (1.0, 99.0), 128, 16, (32, 64, 128, 256, 256), 192, 0),
        Preset("fundus", 2, 3, (0.0, 255.0), (0.0, 100.0), 128, 16, (32, 64, 128, 256, 256), 256, 0),
        Preset("mri", 3, 1, None, (1.0, 99.5), 48, 8, (16, 32, 64, 128), 0, 96),
        Preset("ct", 3, 1, (-1000.0, 1000.0), (0.0, 100.0), 48, 8, (16, 32, 64, 128), 0, 96),
    )
}
