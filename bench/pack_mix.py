"""Documents like those of the paper's 512-level pretraining, as packing sees them: lengths and pairs alone.

Volumes are those of the paper's table 2 (text 700M, text to image 345M, editing 20M, interleaved 5M; 1.8T
tokens in all). What it does not say is modelled so:

- pictures: the 41 grids of its table 14 at this level, all equally often; 3,318 to 3,689 tokens each;
- captions: lognormal lengths, median 120 tokens, sigma 0.5, of 16 to 400; or the lengths of real ones;
- editing: an instruction of 8 to 40 tokens between two pictures;
- interleaved: 2 to 5 pictures (5 is the most at this level), 20 to 80 tokens of text before each;
- text: lognormal with sigma 1, of 32 to 8,192 tokens, its median such that all together are 1.8T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infra.catalogue import Counts
from infra.manifest import FileEntry, Manifest, Output, read_manifest
from jobs.pack.columns import FAMILIES, Columns
from jobs.pack.records import DOCUMENT, Cost, Records
from jobs.schemas import TOKENS_SCHEMA, with_metadata
from model.scales import table14

VOLUMES = {"text": 700_000_000, "t2i": 345_000_000, "edit": 20_000_000, "video": 5_000_000}
"""Documents of each family; `video` stands for interleaved ones."""
TOKENS = 1.8e12
ETA = 2.0
FILE_ROWS = 1 << 20

Ints = npt.NDArray[np.int64]
_MOST_PICTURES = 5
_TEXT_VOCABULARY = 152_000
_CODES = 32_768


class Mix:
    """Random documents in the paper's proportions; a run of numbers always gives the same ones."""

    def __init__(self, captions: Ints | None = None) -> None:
        self._captions = captions
        schedules = table14(16)
        self._positions = np.array([schedule.tokens + 1 for schedule in schedules])
        self._pairs = np.array([_own_pairs(schedule.lengths) for schedule in schedules])
        self._text_median = self._fit_text()

    def documents(self, first: int, count: int) -> Records:
        """Documents `first` to `first + count`; ids are random."""
        rng = np.random.default_rng([first, count])
        weights = np.array(list(VOLUMES.values())) / sum(VOLUMES.values())
        family = rng.choice([FAMILIES.index(name) for name in VOLUMES], count, p=weights)
        made = np.zeros(count, DOCUMENT)
        made["id"] = rng.integers(0, 2**64, count, np.uint64)
        made["family"] = family
        for name in VOLUMES:
            mine = family == FAMILIES.index(name)
            made["tokens"][mine], made["pairs"][mine] = self._sizes(name, int(mine.sum()), rng)
        return made

    def shares(self, documents: Columns) -> dict[str, float]:
        """Each family's share of the tokens."""
        total = documents.tokens.sum()
        return {
            name: float(documents.tokens[documents.family == FAMILIES.index(name)].sum() / total)
            for name in VOLUMES
        }

    @staticmethod
    def natural_mixture(folders: Sequence[str]) -> dict[str, float]:
        """Weights with which all documents are used: the families' own tokens."""
        sums: dict[str, float] = {}
        for folder in folders:
            for family, more in read_manifest(folder).metadata["families"].items():
                sums[family] = sums.get(family, 0.0) + more["tokens"]
        return sums

    def _sizes(self, family: str, count: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
        if family == "text":
            lengths = self._texts(count, rng)
            return lengths, lengths * (lengths + 1) // 2
        pictures = {"t2i": np.ones(count, np.int64), "edit": np.full(count, 2)}.get(family)
        if pictures is None:
            pictures = rng.integers(2, _MOST_PICTURES + 1, count)
        tokens, pairs = np.zeros(count, np.int64), np.zeros(count, np.int64)
        for n in range(_MOST_PICTURES):
            here = n < pictures
            text = self._before(family, n, count, rng) * here
            pairs += text * tokens + text * (text + 1) // 2
            tokens += text
            shape = rng.integers(0, len(self._positions), count)
            pairs += here * (self._positions[shape] * tokens + self._pairs[shape])
            tokens += here * self._positions[shape]
        return tokens, pairs

    def _before(self, family: str, picture: int, count: int, rng: np.random.Generator) -> Ints:
        """The text before a picture; an instruction stands before the second of an edit."""
        if family == "t2i":
            return self._caption(count, rng)
        if family == "edit":
            return rng.integers(8, 41, count) * (picture == 1)
        return rng.integers(20, 81, count)

    def _caption(self, count: int, rng: np.random.Generator) -> Ints:
        if self._captions is not None:
            return rng.choice(self._captions, count)
        return np.clip(rng.lognormal(np.log(120), 0.5, count), 16, 400).astype(np.int64)

    def _texts(self, count: int, rng: np.random.Generator) -> Ints:
        return np.clip(rng.lognormal(np.log(self._text_median), 1.0, count), 32, 8192).astype(np.int64)

    def _fit_text(self) -> float:
        """The median of texts with which all documents together have TOKENS, by bisection."""
        rng = np.random.default_rng(0)
        others = sum(
            VOLUMES[name] * float(self._sizes(name, 100_000, rng)[0].mean())
            for name in VOLUMES
            if name != "text"
        )
        wanted = (TOKENS - others) / VOLUMES["text"]
        low, high = 1.0, 8192.0
        for _ in range(40):
            self._text_median = (low + high) / 2
            mean = self._texts(200_000, np.random.default_rng(1)).mean()
            low, high = (self._text_median, high) if mean < wanted else (low, self._text_median)
        return low


def _own_pairs(lengths: Sequence[int]) -> int:
    """Pairs of a picture at the start of a document: a block sees itself and all before it."""
    from model.transformer.cost import allowed_pairs
    from model.transformer.layout import ImagePart

    codes = np.zeros(sum(lengths), np.uint16)
    schedule = next(s for s in table14(16) if s.lengths == tuple(lengths))
    return allowed_pairs([ImagePart(schedule, codes, codes, True)], "shifted")


@lru_cache
def cost_of(attention_cost: float) -> Cost:
    """The cost model of the 7B transformer."""
    from model.transformer.config import TransformerConfig
    from model.transformer.cost import CostModel

    config = TransformerConfig.preset(
        "7b", text_vocabulary=_TEXT_VOCABULARY, codebook_size=_CODES, codebook_width=40, end_id=0
    )
    model = CostModel.of(config, attention_cost)
    return Cost(model.per_position, model.per_pair)


def read_captions(path: Path) -> Ints:
    """Lengths of real captions, a line or a file each, in tokens: 4 tokens for 3 words, as in English."""
    files = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    texts = [file.read_text(encoding="utf-8") for file in files]
    lines = texts if path.is_dir() else texts[0].splitlines()
    return np.array([max(1, len(line.split()) * 4 // 3) for line in lines if line.strip()])


def write_token_files(mix: Mix, rows: int, folder: Path) -> None:
    """One folder of finished tokens, without payloads."""
    output = Output(str(folder / "all"))
    schema = with_metadata(TOKENS_SCHEMA, [], {})
    entries, sums = [], {name: {"documents": 0, "tokens": 0, "pairs": 0} for name in VOLUMES}
    for first in range(0, rows, FILE_ROWS):
        made = mix.documents(first, min(FILE_ROWS, rows - first))
        for name, held in sums.items():
            mine = made[made["family"] == FAMILIES.index(name)]
            held["documents"] += len(mine)
            held["tokens"] += int(mine["tokens"].sum())
            held["pairs"] += int(mine["pairs"].sum())
        entries.append(output.publish_table(f"data/unit-{first:012d}.parquet", _table(made, schema)))
    commit_tokens(output, entries, sums)


def commit_tokens(
    output: Output, files: Sequence[FileEntry], families: Mapping[str, Mapping[str, int]]
) -> None:
    """Finish an extraction, with the documents, tokens and pairs of each family."""
    total = sum(entry.rows for entry in files)
    output.commit(
        Manifest(
            asset="tokens/all",
            partition=None,
            fingerprint="f",
            files=tuple(files),
            counts=Counts(total=total, kept=total),
            metadata={"families": families},
        )
    )


def _table(documents: Records, schema: pa.Schema) -> pa.Table:
    columns: dict[str, Any] = {
        "sample_id": documents["id"],
        "family": pa.array(FAMILIES).take(pa.array(documents["family"].astype(np.int64))),
        "tokens": documents["tokens"],
        "pairs": documents["pairs"],
    }
    arrays = [
        pa.array(columns[field.name]) if field.name in columns else pa.nulls(len(documents), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
