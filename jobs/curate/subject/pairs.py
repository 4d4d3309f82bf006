"""Which pictures of a group are worth a look as a pair: a pure function of embeddings and thresholds.

Every pair of a group is considered once. A pair that two groups have, because both hold the same two
files, counts in the first of them.

Shapes: N pictures, G of a group, P pairs, D width of an embedding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.document import sample_id
from jobs.specs.subject import CandidateSettings

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Embeddings = npt.NDArray[np.floating[Any]]

_DIGITS = 6
"""Of a cosine as it is stored and compared; beyond them, machines differ."""


@dataclass(frozen=True)
class Pairs:
    """Pairs as numbers of pictures: what is shown, and what is to be drawn from it."""

    reference_P: Numbers
    target_P: Numbers
    similarity_P: Floats
    """Cosines."""
    ids: list[int]
    """Of the two files, in whatever order: sample ids of the documents."""


def pairs_within(groups: Sequence[str], checksums: Sequence[str], embeddings_ND: Embeddings) -> Pairs:
    """Every pair of pictures of one group, in the order of the pictures.

    Which picture of a pair is the target is drawn by a hash of both files.

    Args:
        groups: of each picture; equal groups stand together.
        checksums: SHA-256 of each picture's file, in hex.
        embeddings_ND: of any length but zero.
    """
    sides: list[Numbers] = [np.empty((2, 0), np.int64)]
    cosines: list[Floats] = [np.empty(0)]
    for _, members in groupby(range(len(groups)), key=lambda n: groups[n]):
        numbers_G = np.array(list(members), np.int64)
        pairs_2P = np.stack(np.triu_indices(len(numbers_G), 1))
        own_GD = _unit(embeddings_ND[numbers_G])
        sides.append(numbers_G[pairs_2P])
        cosines.append((own_GD @ own_GD.T)[tuple(pairs_2P)])
    first_P, second_P = np.concatenate(sides, axis=1)
    ids = [pair_id(checksums[a], checksums[b]) for a, b in zip(first_P, second_P, strict=True)]
    return _directed(first_P, second_P, np.concatenate(cosines).round(_DIGITS), ids, checksums)


def pair_id(one: str, other: str) -> int:
    """The sample id of a pair of files, in whatever order, from their checksums in hex."""
    return sample_id("subject", sorted(bytes.fromhex(checksum) for checksum in (one, other)))


def judge_pairs(pairs: Pairs, settings: CandidateSettings) -> list[str | None]:
    """The reason for the rejection of each pair, None for those that stay.

    Of pairs within both limits the most similar are taken first, as long as both of their pictures
    stand in fewer than `pairs_per_picture` pairs.
    """
    reasons: list[str | None] = [None] * len(pairs.ids)
    seen: set[int] = set()
    for number, (similarity, id_) in enumerate(zip(pairs.similarity_P, pairs.ids, strict=True)):
        if similarity < settings.min_similarity:
            reasons[number] = "dissimilar"
        elif similarity > settings.max_similarity:
            reasons[number] = "too_similar"
        elif id_ in seen:
            reasons[number] = "repeated"
        seen.add(id_)
    used: Counter[int] = Counter()
    left = [number for number, reason in enumerate(reasons) if reason is None]
    for number in sorted(left, key=lambda n: (-pairs.similarity_P[n], pairs.ids[n])):
        both = (int(pairs.reference_P[number]), int(pairs.target_P[number]))
        if max(used[picture] for picture in both) < settings.pairs_per_picture:
            used.update(both)
        else:
            reasons[number] = "over_limit"
    return reasons


def _unit(vectors_GD: Embeddings) -> Floats:
    """In double precision, of length one."""
    doubles_GD = vectors_GD.astype(np.float64)
    return np.asarray(doubles_GD / np.linalg.norm(doubles_GD, axis=1, keepdims=True), np.float64)


def _directed(
    first_P: Numbers, second_P: Numbers, similarity_P: Floats, ids: list[int], checksums: Sequence[str]
) -> Pairs:
    # The order of the files themselves, so that no name or place decides; then the id's last bit.
    pairs = list(zip(first_P, second_P, ids, strict=True))
    swap_P = np.array([(checksums[a] > checksums[b]) ^ bool(id_ & 1) for a, b, id_ in pairs], bool)
    reference_P, target_P = np.where(swap_P, second_P, first_P), np.where(swap_P, first_P, second_P)
    return Pairs(reference_P, target_P, similarity_P, ids)
