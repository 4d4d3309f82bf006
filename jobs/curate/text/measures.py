"""What a text measures: the scores that thresholds and duplicate search work on. Nothing is judged here.

Gopher's rules of quality and repetition (Rae et al., arXiv 2112.11446, appendix A1), and a MinHash signature
of the text's runs of words (Broder, 1997).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from datasketch import MinHash

PERMUTATIONS = 128
"""Hashes of a signature: similarities are estimated to about 0.04."""

SHINGLE_WORDS = 5

_SCHEME = "affine32"
"""Datasketch's family of 32-bit hashes."""

_STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with", "is", "are", "a", "in"})
_WORD = re.compile(r"\S+")
_BULLETS = ("-", "*", "•", "‣", "·")
_ELLIPSES = ("...", "…")


@dataclass(frozen=True)
class Measures:
    """Measurements of one text. Shares are of words, of lines that are not empty, or of characters."""

    characters: int
    words: int
    word_length: float
    """Characters of a word, on average."""
    symbols: float
    """Of `#` and ellipses, per word."""
    alphabetic: float
    """Share of words with a letter."""
    stop_words: int
    """How many different English stop words."""
    bullet_lines: float
    ellipsis_lines: float
    repeated_lines: float
    top_phrase: float
    """Share of characters that lie in the most frequent pair of words, where it comes more than once."""
    signature: bytes
    """MinHash: PERMUTATIONS little-endian uint32."""


def measure(text: str) -> Measures:
    """Measure a text; an empty one measures 0."""
    words = _WORD.findall(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    count, line_count = max(1, len(words)), max(1, len(lines))
    symbols = text.count("#") + sum(text.count(mark) for mark in _ELLIPSES)
    return Measures(
        characters=len(text),
        words=len(words),
        word_length=sum(map(len, words)) / count,
        symbols=symbols / count,
        alphabetic=sum(any(c.isalpha() for c in word) for word in words) / count,
        stop_words=len(_STOP_WORDS & {word.casefold().strip(".,;:!?") for word in words}),
        bullet_lines=sum(line.startswith(_BULLETS) for line in lines) / line_count,
        ellipsis_lines=sum(line.endswith(_ELLIPSES) for line in lines) / line_count,
        repeated_lines=(len(lines) - len(set(lines))) / line_count,
        top_phrase=_top_phrase(words, len(text)),
        signature=_signature(words),
    )


def read_signature(data: bytes) -> MinHash:
    """The MinHash that a signature is of."""
    values = np.frombuffer(data, "<u4").astype(np.uint32)
    return MinHash(PERMUTATIONS, hashvalues=values, scheme=_SCHEME)


def _top_phrase(words: list[str], characters: int) -> float:
    """As in Gopher's rules: the characters of the most frequent pair's occurrences."""
    pairs = Counter(pairwise(word.casefold() for word in words))
    if not pairs:
        return 0.0
    (first, second), number = min(pairs.items(), key=lambda item: (-item[1], item[0]))
    return number * (len(first) + len(second) + 1) / characters if number > 1 else 0.0


def _signature(words: list[str]) -> bytes:
    """Of the set of runs of SHINGLE_WORDS words, in lower case without punctuation around them."""
    plain = [word.casefold().strip(".,;:!?\"'()[]") for word in words]
    runs = {" ".join(plain[n : n + SHINGLE_WORDS]) for n in range(max(1, len(plain) - SHINGLE_WORDS + 1))}
    hashes = MinHash(PERMUTATIONS, scheme=_SCHEME)
    hashes.update_batch([run.encode() for run in sorted(runs)])
    values: bytes = hashes.hashvalues.astype("<u4").tobytes()
    return values
