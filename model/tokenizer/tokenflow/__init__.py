"""TokenFlow's published checkpoints as our image tokenizer: the same indices, the same pictures."""

from model.tokenizer.tokenflow.convert import Converted, SourceTensor, convert
from model.tokenizer.tokenflow.files import read_checkpoint, unwrap
from model.tokenizer.tokenflow.sizes import infer_config

__all__ = ["Converted", "SourceTensor", "convert", "infer_config", "read_checkpoint", "unwrap"]
