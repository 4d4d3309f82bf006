"""The text in a picture, found by optical character recognition (RapidOCR: PP-OCR's small models on ONNX)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

MAX_SIDE = 1600
"""Pixels; larger pictures are scaled down before they are read."""


@dataclass(frozen=True)
class FoundText:
    """Lines of text from top to bottom, the mean confidence in them, and their share of the picture."""

    text: str
    confidence: float
    area: float

    @property
    def characters(self) -> int:
        """Letters and digits of any script: recognition of drawings often gives marks alone."""
        return sum(character.isalnum() for character in self.text)


class Recogniser:
    """Loads its models once; one thread, so that the same picture always gives the same text."""

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        self._read = RapidOCR(
            params={
                "Global.log_level": "error",
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def __call__(self, picture: Image.Image) -> FoundText:
        """The text of an RGB picture; empty where there is none."""
        small = picture.copy()
        small.thumbnail((MAX_SIDE, MAX_SIDE))
        result: Any = self._read(np.ascontiguousarray(np.asarray(small)[:, :, ::-1]))
        if not result.txts:
            return FoundText("", 0.0, 0.0)
        area = sum(map(_area, result.boxes)) / (small.width * small.height)
        lines = "\n".join(line.strip() for line in result.txts if line.strip())
        return FoundText(lines, float(np.mean(result.scores)), min(1.0, float(area)))


def _area(corners_42: npt.NDArray[np.float32]) -> float:
    """Of a quadrilateral, by the shoelace formula."""
    x, y = corners_42[:, 0], corners_42[:, 1]
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)
