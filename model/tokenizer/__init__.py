"""The image tokenizer: images to multi-scale token indices and back."""

from model.tokenizer.config import TokenizerConfig
from model.tokenizer.correction import Correction
from model.tokenizer.tokenizer import ImageTokenizer

__all__ = ["Correction", "ImageTokenizer", "TokenizerConfig"]
