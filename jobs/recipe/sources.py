"""Where each family's raw data comes from. docs/sources.md shows an example of every kind."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field

from infra.document import Family
from jobs.recipe.section import Section


class Listed(Section):
    """A source that is listed into shards, the units of work, and drops, the partitions people see."""

    uri: str
    """A folder, or `s3://bucket/prefix`."""
    drop_shards: int = Field(default=64, ge=1)
    """Shards in one drop."""


# Any schema ----------------------------------------------------------------------------------


class FolderSource(Listed):
    """A folder of pictures, each beside a `.txt` of the same name that holds its caption."""

    kind: Literal["folder"] = "folder"
    shard_records: int = Field(default=256, ge=1)
    """Pictures in one unit of work."""


class WebDatasetSource(Listed):
    """A folder of `.tar` shards: members `key.jpg` and `key.txt` (or `key.json` with `caption`)."""

    kind: Literal["webdataset"] = "webdataset"
    caption_key: str = "caption"


class ParquetSource(Listed):
    """A folder of `.parquet` files with picture bytes and a caption column."""

    kind: Literal["parquet"] = "parquet"
    image_column: str = "image"
    caption_column: str = "caption"


class JsonlSource(Listed):
    """Pictures listed in `.jsonl` files, also `.zst` and `.gz`: on a line a path and a caption."""

    kind: Literal["jsonl"] = "jsonl"
    image_key: str = "image"
    caption_key: str = "caption"


class TextJsonlSource(Listed):
    """Texts in `.jsonl` files, also `.zst` and `.gz`, one a line."""

    kind: Literal["jsonl"] = "jsonl"
    text_key: str = "text"


# The embedded world --------------------------------------------------------------------------


class Drawn(Section):
    """A source that is drawn from a seed instead of read."""

    count: int = Field(ge=1)
    size: int = Field(default=64, ge=32, le=1024)
    """Side in pixels."""
    seed: int = 0
    shard_records: int = Field(default=500, ge=1)
    drop_shards: int = Field(default=64, ge=1)


class ScenesSource(Drawn):
    """The embedded world: pictures of 1 to 4 coloured shapes, drawn from a seed, with captions."""

    kind: Literal["scenes"] = "scenes"


class SceneEditsSource(Drawn):
    """Pairs of scenes, before and after an edit, with its instruction; some are wrong on purpose."""

    kind: Literal["scene_edits"] = "scene_edits"
    wrong: float = Field(default=0.02, ge=0, le=1)
    """Share of pairs that do not show what the instruction says."""


class SceneAlbumsSource(Drawn):
    """Albums of scenes in which a shape appears again, elsewhere and among others. `count` is of pictures."""

    kind: Literal["scene_albums"] = "scene_albums"
    album_pictures: int = Field(default=5, ge=2, le=13)


class SceneTextsSource(Section):
    """Short texts about shapes, drawn from a seed; some are repeated, or worth nothing, on purpose."""

    kind: Literal["scene_texts"] = "scene_texts"
    count: int = Field(ge=1)
    seed: int = 0
    shard_records: int = Field(default=1000, ge=1)
    drop_shards: int = Field(default=64, ge=1)


# Published data sets, in their own schemas ---------------------------------------------------


class Fetch(Section):
    """Limits of fetching pictures by their URLs."""

    max_bytes: int = Field(default=50_000_000, ge=1)
    """Of one picture; a larger one is given up on while it comes."""
    connections: int = Field(default=32, ge=1)
    """At once, in one worker."""
    per_host: int = Field(default=4, ge=1)
    """At once, from one worker to one host."""
    timeout: float = Field(default=20.0, gt=0)
    """Seconds for one picture, from the first byte sent to the last received, redirects included."""
    attempts: int = Field(default=3, ge=1)
    """Of one URL; waits grow and are jittered, or are what the server asks for."""
    redirects: int = Field(default=5, ge=0)
    private_addresses: bool = False
    """Fetch from loopback and private networks, too: only for data sets of your own."""
    respect_noai: bool = True
    """Leave out pictures whose X-Robots-Tag says `noai`, `noimageai`, `noindex` or `noimageindex`."""
    contact: str = Field(default="", max_length=200, pattern=r"^[ -~]*$")
    """An address or a page of yours, told to every server beside this software's name."""
    max_errored: float = Field(default=0.5, ge=0, le=1)
    """Where a larger share of a drop could not be reached, nothing is made from the drop."""
    round: int = Field(default=0, ge=0)
    """Raise it to try again what could not be fetched; what could is not fetched again."""


PACE = frozenset({"connections", "per_host", "timeout", "attempts", "contact", "max_errored", "round"})
"""Settings of `Fetch` that change nothing about a picture that came or was refused."""


class UrlSource(Listed):
    """Parquet files with URLs; pictures are fetched before curation."""

    fetch: Fetch = Fetch()
    shard_records: int = Field(default=10_000, ge=1)
    """Rows in one unit of work."""


class MegalithSource(UrlSource):
    """Megalith-10M: `url_highres` (or `url`) and no captions."""

    kind: Literal["megalith"] = "megalith"


class ReLaionSource(UrlSource):
    """Re-LAION: `url` and `caption`."""

    kind: Literal["relaion"] = "relaion"


class CoyoSource(UrlSource):
    """COYO-700M: `url`, `text` and scores, which are carried on."""

    kind: Literal["coyo"] = "coyo"


class CommonCatalogSource(Listed):
    """CommonCatalog: Parquet with picture bytes in `jpg`, captions in `blip2_caption`, and licences."""

    kind: Literal["common_catalog"] = "common_catalog"


class UniWorldSource(Listed):
    """UniWorld-V1: `data.txt` with lines `image_root,json,need_weight`; each JSON is a subset."""

    kind: Literal["uniworld"] = "uniworld"
    shard_records: int = Field(default=1000, ge=1)


class RealEditSource(Listed):
    """RealEdit: CSV with `input_image_name`, `instruction`, `output_image_name` beside the pictures."""

    kind: Literal["realedit"] = "realedit"
    image_folder: str = ""
    """Below `uri`: where the names of pictures lead from; empty is the folder of the CSV file."""
    shard_records: int = Field(default=1000, ge=1)


class ShareGpt4oSource(Listed):
    """ShareGPT-4o-Image: JSON with `input_prompt`, `input_image`, `output_image` beside folders or tars."""

    kind: Literal["sharegpt4o"] = "sharegpt4o"
    shard_records: int = Field(default=1000, ge=1)


class OmniCorpusSource(UrlSource):
    """OmniCorpus-CC: Parquet with parallel lists `images` (URLs) and `texts`: the pictures of a page."""

    kind: Literal["omnicorpus"] = "omnicorpus"
    shard_records: int = Field(default=2_000, ge=1)
    """Pages in one unit of work."""


class LlavaOneVisionSource(Listed):
    """LLaVA-OneVision: Parquet with `id`, `image`, `conversations`, `data_source`."""

    kind: Literal["llava_onevision"] = "llava_onevision"


class NemotronCcSource(Listed):
    """Nemotron-CC: `.jsonl.zst` with `text` and `warc_record_id`."""

    kind: Literal["nemotron_cc"] = "nemotron_cc"


class MegaMathSource(Listed):
    """MegaMath: Parquet with `text` and `url`."""

    kind: Literal["megamath"] = "megamath"


# Families ------------------------------------------------------------------------------------

S = TypeVar("S")


class Mix(Section, Generic[S]):
    """Several sources of one family; a record's subset begins with the name of its part."""

    kind: Literal["mix"] = "mix"
    parts: dict[str, S] = Field(min_length=1)
    drop_shards: int = Field(default=64, ge=1)


OneT2I = (
    FolderSource
    | WebDatasetSource
    | ParquetSource
    | JsonlSource
    | ScenesSource
    | MegalithSource
    | ReLaionSource
    | CoyoSource
    | CommonCatalogSource
)
OneEdit = SceneEditsSource | UniWorldSource | RealEditSource | ShareGpt4oSource
OneSubject = SceneAlbumsSource | FolderSource | OmniCorpusSource
OneUnderstanding = LlavaOneVisionSource
OneText = SceneTextsSource | TextJsonlSource | NemotronCcSource | MegaMathSource

_KIND = Field(discriminator="kind")
T2ISource = Annotated[OneT2I | Mix[Annotated[OneT2I, _KIND]], _KIND]
EditSource = Annotated[OneEdit | Mix[Annotated[OneEdit, _KIND]], _KIND]
SubjectSource = Annotated[OneSubject | Mix[Annotated[OneSubject, _KIND]], _KIND]
UnderstandingSource = Annotated[OneUnderstanding | Mix[OneUnderstanding], _KIND]
TextSource = Annotated[OneText | Mix[Annotated[OneText, _KIND]], _KIND]

OneSource = OneT2I | OneEdit | OneSubject | OneUnderstanding | OneText
Source = T2ISource | EditSource | SubjectSource | UnderstandingSource | TextSource


def is_fetched(source: Source) -> bool:
    """Whether the pictures of a source, or of a part of it, are URLs."""
    parts = source.parts.values() if isinstance(source, Mix) else (source,)
    return any(isinstance(part, UrlSource) for part in parts)


K = TypeVar("K", bound=Section)


def without_fetch(source: K) -> K:
    """The same source for stages after fetching, to which it is all one how pictures were fetched."""
    if isinstance(source, Mix):
        return source.model_copy(update={"parts": {n: without_fetch(one) for n, one in source.parts.items()}})
    return source.model_copy(update={"fetch": Fetch()}) if isinstance(source, UrlSource) else source


class Sources(Section):
    """Where each family's raw data comes from; only pictures with captions are needed."""

    t2i: T2ISource
    understanding: UnderstandingSource | None = None
    edit: EditSource | None = None
    subject: SubjectSource | Literal["t2i"] | None = None
    """`t2i`: the same pictures, in the groups that their source puts them in, such as folders."""
    text: TextSource | None = None

    def given(self) -> dict[Family, Source]:
        """The sources there are, by family."""
        found: dict[Family, Source | None] = {
            "t2i": self.t2i,
            "understanding": self.understanding,
            "edit": self.edit,
            "subject": self.t2i if self.subject == "t2i" else self.subject,
            "text": self.text,
        }
        return {family: source for family, source in found.items() if source is not None}
