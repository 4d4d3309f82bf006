"""A small CLIP as the hub has them, with random weights, for open_clip to load."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

CLIP_WIDTH = 768
"""Of ViT-L/14's embeddings, which LAION's predictor reads."""

CONFIG = {
    "embed_dim": CLIP_WIDTH,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
}
PREPARED = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic"}


def publish_clip(folder: Path) -> str:
    """Write it; give its name for open_clip."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = open_clip.CLIP(**{name: value for name, value in CONFIG.items() if name != "custom_text"})
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    config = {"model_cfg": CONFIG, "preprocess_cfg": PREPARED}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return f"local-dir:{folder}"
