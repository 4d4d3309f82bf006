"""A driver that a test may kill: extracts documents and packs them, from the storage and into it.

python tests/jobs/extract_and_pack.py <captioned> <tokenizer> <home>
"""

from __future__ import annotations

import sys

from support import LEVEL

from infra import storage
from infra.job import JobSpec, Resources
from infra.manifest import find_manifest
from infra.reporter import SilentReporter
from jobs.extract.run import run as extract
from jobs.pack.run import run as pack
from jobs.recipe import Model, Packing, SelfCorrection, Tokens
from jobs.specs import PackSettings, TokensSettings


def main(captioned: str, tokenizer: str, home: str) -> None:
    """Make what is not finished, as the orchestrator does: tokens, then packs."""
    tokens, packs = storage.join(home, "tokens"), storage.join(home, "packs")
    if find_manifest(tokens) is None:
        extract(_tokens(captioned, tokenizer, tokens), SilentReporter())
    if find_manifest(packs) is None:
        pack(_packs(tokens, tokenizer, packs), SilentReporter())


def _tokens(captioned: str, tokenizer: str, output: str) -> JobSpec[TokensSettings]:
    settings = TokensSettings(
        tokens=Tokens(self_correction=SelfCorrection(top_k=8)),
        text_tokenizer="builtin",
        context_mode="shifted",
        level_name="small",
        level=LEVEL,
    )
    return JobSpec[TokensSettings](
        asset="tokens/t2i",
        partition="t2i-0000|small",
        fingerprint="f",
        inputs={"t2i/captioned": [captioned], "tokenizer/joint": [tokenizer]},
        output=output,
        settings=settings,
        resources=Resources(workers=2),
    )


def _packs(tokens: str, tokenizer: str, output: str) -> JobSpec[PackSettings]:
    settings = PackSettings(
        stage_name="first",
        mixture={"t2i": 1.0},
        packing=Packing(max_tokens=256),
        model=Model(preset="tiny"),
    )
    return JobSpec[PackSettings](
        asset="packs/first",
        fingerprint="f",
        inputs={"tokens/t2i": [tokens], "tokenizer/joint": [tokenizer]},
        output=output,
        settings=settings,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
