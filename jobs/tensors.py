"""Pictures as tensors and back, and work on one thread. Tensors are float32 in [-1, 1].

Shapes: B batch, C = 3 channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_tensor(images: Sequence[Image.Image]) -> Tensor:
    """RGB pictures of one size as [B, C, H, W]."""
    pixels_BHWC = np.stack([np.asarray(image, dtype=np.float32) for image in images])
    return torch.from_numpy(pixels_BHWC / 127.5 - 1).permute(0, 3, 1, 2).contiguous()


def to_images(images_BCHW: Tensor) -> list[Image.Image]:
    """Tensors as RGB pictures, each channel rounded to 8 bits."""
    pixels_BHWC = images_BCHW.permute(0, 2, 3, 1).float().cpu().numpy()
    return [Image.fromarray(p) for p in ((pixels_BHWC + 1) * 127.5).round().clip(0, 255).astype(np.uint8)]


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums of floats depend on the number of threads; what runs after this in the process has its own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
