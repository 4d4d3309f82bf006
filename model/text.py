"""Text to ids and back: the tokenizer shipped with the package, or any that transformers can load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from tokenizers import Tokenizer

BUILTIN = "builtin"
BUILTIN_FILE = Path(__file__).with_name("builtin-text-tokenizer.json")
END_TOKEN = "<|end|>"


class TextTokenizer(Protocol):
    """Text ids from 0 to `size` - 1, of which `end_id` ends a document and stands for no text."""

    @property
    def size(self) -> int:
        """Number of ids."""
        ...

    @property
    def end_id(self) -> int:
        """Id of the end-of-document token. No text encodes to it."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without the end token."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; special tokens are left out."""
        ...


def load_text_tokenizer(name: str = BUILTIN) -> TextTokenizer:
    """Load a text tokenizer.

    Args:
        name: `builtin`, a local folder, or a hub name that transformers' AutoTokenizer loads. Code that
            comes with a tokenizer is never run.

    Raises:
        ValueError: it cannot be loaded, or has no end-of-document token.
    """
    return BuiltinTokenizer() if name == BUILTIN else PretrainedTokenizer(name)


class BuiltinTokenizer:
    """A small byte-level BPE for English captions; every text without lone surrogates survives it."""

    def __init__(self) -> None:
        self._tokenizer = Tokenizer.from_file(str(BUILTIN_FILE))
        # A caption that spells out a special token is text like any other.
        self._tokenizer.encode_special_tokens = True
        self.size: int = self._tokenizer.get_vocab_size()
        self.end_id: int = self._tokenizer.get_vocab()[END_TOKEN]

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without the end token."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; the end token is left out."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text


class PretrainedTokenizer:
    """A tokenizer of a language model, such as Qwen2.5's."""

    def __init__(self, name: str) -> None:
        from transformers import AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"no text tokenizer at {name!r}: {error}") from error
        if self._tokenizer.eos_token_id is None:
            raise ValueError(f"the text tokenizer {name!r} has no end-of-document token")
        self.size: int = len(self._tokenizer)
        self.end_id: int = self._tokenizer.eos_token_id

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without the end token; special tokens in the text are text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; special tokens are left out."""
        text: str = self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text
