"""Group `tokenizer`: the image tokenizer, trained on the curated pictures in three stages (paper 3.1)."""

from __future__ import annotations

from typing import Literal, get_args

from assets.checks.tokenizer import CODEBOOK_USE, EVERY_PICTURE, LEARNT, NO_REGRESSION, PSNR
from assets.checks.training import RESUMABLE
from assets.job_asset import JobAsset, Settings
from jobs.recipe import Recipe, TokenizerShared
from jobs.specs import FaceSettings, SemanticSettings, TokenizerEvaluationSettings, TokenizerSettings

Stage = Literal["pixel", "joint", "decoder"]

_DESCRIPTIONS: dict[Stage, str] = {
    "pixel": "The pixel branch alone: a multi-scale VQGAN that the joint training starts from.",
    "joint": "Both branches with one index: pictures into token indices, coarse scales first, and back.",
    "decoder": "The same indices with a pixel decoder of twice the width and depth: what draws pictures.",
}
_BEFORE: dict[Stage, str] = {"joint": "tokenizer/pixel", "decoder": "tokenizer/joint"}


def semantic_assets(recipe: Recipe) -> list[JobAsset]:
    """The small semantic encoder, unless the recipe names a published one."""
    if recipe.tokenizer.semantic.pretrained is not None:
        return []
    return [
        JobAsset(
            key="tokenizer/semantic",
            group="tokenizer",
            job="jobs.semantic.train:run",
            area="checkpoints/tokenizer/semantic",
            inputs=("t2i/filtered", "t2i/scored"),
            drops=_drops(recipe),
            settings=lambda recipe, _: SemanticSettings(
                semantic=recipe.tokenizer.semantic,
                preset=recipe.tokenizer.preset,
                text_tokenizer=recipe.model.text_tokenizer,
            ),
            description="A small SigLIP2: what pictures mean, learnt from their captions.",
            checks=(RESUMABLE, LEARNT),
        )
    ]


def assets(recipe: Recipe) -> list[JobAsset]:
    """Where faces are, the three trainings and what they keep of pictures."""
    return [
        *_faces(recipe),
        *(_training(recipe, stage) for stage in get_args(Stage)),
        JobAsset(
            key="evaluation/tokenizer",
            group="evaluation",
            job="jobs.tokenizer.assess:run",
            area="evals/tokenizer",
            inputs=("t2i/captioned", *(f"tokenizer/{stage}" for stage in get_args(Stage))),
            drops=_drops(recipe),
            settings=_evaluation_settings,
            description="What reconstructions keep of held-out pictures, by stage and resolution (Table 12).",
            checks=(NO_REGRESSION,),
        ),
    ]


def _faces(recipe: Recipe) -> list[JobAsset]:
    if recipe.tokenizer.face_oversampling == 1:
        return []
    return [
        JobAsset(
            key="tokenizer/faces",
            group="tokenizer",
            job="jobs.tokenizer.faces:run",
            area="curated/faces",
            inputs=("t2i/captioned",),
            settings=lambda _, __: FaceSettings(),
            description="Which pictures show a face: those are shown more often in training.",
            partitioning="drop",
            checks=(EVERY_PICTURE,),
        )
    ]


def _training(recipe: Recipe, stage: Stage) -> JobAsset:
    before = (_BEFORE[stage],) if stage in _BEFORE else ()
    semantic = tuple(asset.key for asset in semantic_assets(recipe)) if stage == "joint" else ()
    return JobAsset(
        key=f"tokenizer/{stage}",
        group="tokenizer",
        job="jobs.tokenizer.train:run",
        area=f"checkpoints/tokenizer/{stage}",
        inputs=("t2i/captioned", *(asset.key for asset in _faces(recipe)), *before, *semantic),
        drops=_drops(recipe),
        settings=_settings(stage),
        description=_DESCRIPTIONS[stage],
        checks=(PSNR, CODEBOOK_USE, RESUMABLE),
        thresholds={"tokenizer": {"min_psnr", "min_codebook_use"}},
    )


def _drops(recipe: Recipe) -> tuple[str, ...] | None:
    return None if recipe.tokenizer.drops is None else tuple(recipe.tokenizer.drops)


def _settings(stage: Stage) -> Settings:
    def settings(recipe: Recipe, _partition: str | None) -> TokenizerSettings:
        tokenizer = recipe.tokenizer
        return TokenizerSettings(
            stage_name=stage,
            stage=getattr(tokenizer, stage),
            tokenizer=TokenizerShared(**tokenizer.model_dump(include=set(TokenizerShared.model_fields))),
            level=recipe.levels[tokenizer.level],
            pretrained=tokenizer.semantic.pretrained if stage == "joint" else None,
        )

    return settings


def _evaluation_settings(recipe: Recipe, _partition: str | None) -> TokenizerEvaluationSettings:
    names = recipe.tokenizer_evaluation.levels or [recipe.tokenizer.level]
    return TokenizerEvaluationSettings(
        evaluation=recipe.tokenizer_evaluation,
        levels={name: recipe.levels[name] for name in names},
        train_level=recipe.levels[recipe.tokenizer.level],
        vgg16=recipe.tokenizer.vgg16,
    )
