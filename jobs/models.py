"""Loading the models that jobs published: the one folder of an output that has weights and a config."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from infra import storage
from infra.errors import UserError
from infra.manifest import read_manifest
from jobs.recipe import Model
from model.text import TextTokenizer, load_text_tokenizer
from model.tokenizer import ImageTokenizer, TokenizerConfig
from model.transformer.config import TransformerConfig
from model.transformer.model import NextScaleTransformer
from model.transformer.qwen import load_qwen, qwen_config

_CONFIG = "config.json"


@contextmanager
def model_folder(output: str) -> Iterator[Path]:
    """A local folder with the model of a finished output; a download where the output is remote.

    Raises:
        UserError: the output has no model, or several.
    """
    files = [PurePosixPath(entry.path) for entry in read_manifest(output).files]
    parents = [path.parent for path in files if path.name == _CONFIG]
    if len(parents) != 1:
        raise UserError(f"{len(parents)} models where there should be one", output, "Train it again")
    if not storage.is_remote(output):
        yield Path(output) / parents[0]
        return
    with TemporaryDirectory() as folder:
        for path in files:
            if path.parent == parents[0]:
                (Path(folder) / path.name).write_bytes(storage.read_bytes(storage.join(output, str(path))))
        yield Path(folder)


def tokenizer_config(output: str) -> TokenizerConfig:
    """The shape of the image tokenizer of a finished training of the tokenizer."""
    with model_folder(output) as folder:
        return TokenizerConfig.load(folder)


def load_tokenizer(output: str) -> ImageTokenizer:
    """The image tokenizer of a finished training of the tokenizer, on the CPU, ready to encode.

    Raises:
        UserError: its files are damaged.
    """
    with model_folder(output) as folder, _damage_named(output):
        return ImageTokenizer.from_pretrained(folder).eval()


def load_transformer(output: str) -> NextScaleTransformer:
    """The transformer of a finished `training/<stage>`, on the CPU, ready to sample.

    Raises:
        UserError: its files are damaged.
    """
    with model_folder(output) as folder, _damage_named(output):
        return NextScaleTransformer.from_pretrained(folder).eval()


@contextmanager
def _damage_named(output: str) -> Iterator[None]:
    """Files that were changed after they were published are the user's to mend."""
    try:
        yield
    except ValueError as error:
        mend = "Remove this folder and run again; it is made anew"
        raise UserError(f"the model cannot be read ({error})", output, mend) from error


def load_text(name: str) -> TextTokenizer:
    """The text tokenizer that a recipe names.

    Raises:
        UserError: it cannot be loaded.
    """
    try:
        return load_text_tokenizer(name)
    except ValueError as error:
        mend = "Use builtin, a local folder or a hub name"
        raise UserError(str(error), "model.text_tokenizer", mend) from error


def transformer_config(model: Model, text: TextTokenizer, tokenizer: TokenizerConfig) -> TransformerConfig:
    """The transformer that a recipe names, with the vocabularies of its two tokenizers.

    Raises:
        UserError: there is no such preset or pretrained model, or it cannot read the text tokenizer's ids.
    """
    make: Callable[..., TransformerConfig] = qwen_config if model.pretrained else TransformerConfig.preset
    try:
        config = make(
            model.pretrained or model.preset,
            text_vocabulary=text.size,
            codebook_size=tokenizer.codebook_size,
            codebook_width=tokenizer.codebook_width,
            end_id=text.end_id,
        )
    except ValueError as error:
        raise _model_error(model, error) from error
    return replace(config, input_features=model.input_features, context_mode=model.context_mode)


def new_transformer(model: Model, tokenizer: ImageTokenizer) -> NextScaleTransformer:
    """The transformer that a recipe starts from, with the tokenizer's codebook. Draws from torch's generator.

    Raises:
        UserError: the recipe names a model or a text tokenizer that there is not.
    """
    config = transformer_config(model, load_text(model.text_tokenizer), tokenizer.config)
    if model.pretrained is None:
        transformer = NextScaleTransformer(config)
        transformer.set_codebook(tokenizer.codebook())
        return transformer
    try:
        return load_qwen(model.pretrained, config, tokenizer.codebook())
    except ValueError as error:
        raise _model_error(model, error) from error


def _model_error(model: Model, error: ValueError) -> UserError:
    where = "model.pretrained" if model.pretrained else "model.preset"
    return UserError(str(error), where, "Change the recipe")
