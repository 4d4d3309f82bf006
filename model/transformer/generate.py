"""Writing documents: text token by token, images scale by scale, in one cache from the first part to the end.

A request says what is read and what is to be written: an image at once, text, text that comes to an image
(a thought before the picture), or text and images until the end token. Requests that are at the same kind
of step go through the model together. Each draws from its own generator, so a seed gives the same document
alone and in any batch, as far as the arithmetic of batched products allows.

Guidance keeps up to three rows of a document: one that knows everything, one that knows only its images,
and one that knows nothing.

Shapes: B documents, L codes of a scale, N codes so far, V codes, W ids that text may take, E hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.scales import ScaleSchedule
from model.transformer.layout import ImagePart, Part, TextPart, position_count
from model.transformer.model import NextScaleTransformer
from model.transformer.sampling import Branch, SamplingOptions, TextSampling, draw, scale_progress
from model.transformer.session import Session
from model.transformer.writer import Request, Writer, has_images

Decode = Callable[[Tensor, ScaleSchedule], Tensor]
Progress = Callable[[int, int, str], None]
"""Told how many are done, of how many at most, and of what: `scales` of images, or `tokens` of text."""

_BRANCHES: tuple[Branch, ...] = ("everything", "images", "nothing")


@dataclass(frozen=True)
class GeneratedImages:
    """Codes [B, N] and the pictures [B, 3, height, width] in [-1, 1] they decode to."""

    indices_BN: Tensor
    images_BCHW: Tensor


def generate_images(
    model: NextScaleTransformer,
    decode: Decode,
    prompts: Sequence[Sequence[int]],
    schedule: ScaleSchedule,
    sampling: SamplingOptions,
    seeds: Sequence[int],
    progress: Progress | None = None,
) -> GeneratedImages:
    """Sample one image per prompt.

    Args:
        decode: codes [B, N] of a schedule to images, such as `ImageTokenizer.decode`.
        prompts: text ids, without `<boi>`; may be empty.
        seeds: one per prompt.
        progress: told the scales after every one.

    Raises:
        ValueError: a prompt is longer than the model's context.
        FloatingPointError: the model's logits are not finite.
    """
    indices_BN = generate_indices(model, prompts, schedule, sampling, seeds, progress)
    with torch.no_grad():
        return GeneratedImages(indices_BN, decode(indices_BN, schedule))


def generate_indices(
    model: NextScaleTransformer,
    prompts: Sequence[Sequence[int]],
    schedule: ScaleSchedule,
    sampling: SamplingOptions,
    seeds: Sequence[int],
    progress: Progress | None = None,
) -> Tensor:
    """Sample the codes of one image per prompt: [B, N]. See `generate_images`."""
    if not prompts or len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts with {len(seeds)} seeds")
    requests = [
        Request(context=(TextPart(prompt, loss=False),), schedule=schedule, seed=seed)
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    written = generate(model, requests, sampling, progress=progress)
    images = [part for parts in written for part in parts if isinstance(part, ImagePart)]
    return torch.from_numpy(np.stack([image.targets for image in images])).to(model.lm_head.weight.device)


@torch.no_grad()
def generate(
    model: NextScaleTransformer,
    requests: Sequence[Request],
    sampling: SamplingOptions | None = None,
    text: TextSampling | None = None,
    progress: Progress | None = None,
) -> list[tuple[Part, ...]]:
    """Continue documents.

    Args:
        progress: told the scales of all images after every scale, and the ids of all texts after every id.

    Returns:
        What each request's document continues with: text and images in turn.

    Raises:
        ValueError: a document would be longer than the model's context.
        FloatingPointError: the model's logits are not finite.
    """
    sampling, text = sampling or SamplingOptions(), text or TextSampling()
    capacity = max(request.capacity(model.config) for request in requests)
    branches = _branches(requests, sampling)
    session = Session(model, len(branches) * len(requests), capacity)
    writers = [
        # Rows of a branch lie side by side, so that they go through attention together.
        Writer(request, {branch: i * len(requests) + number for i, branch in enumerate(branches)})
        for number, request in enumerate(requests)
    ]
    _read_contexts(session, writers)
    while pending := [writer for writer in writers if not writer.finished]:
        for together in _groups(pending):
            if writes_text := together[0].image is None:
                _write_token(session, together, text)
            else:
                _write_scale(session, together, sampling)
            if progress:
                progress(*(_tokens_done(writers) if writes_text else _scales_done(writers)))
    return [tuple(writer.parts) for writer in writers]


def _tokens_done(writers: Sequence[Writer]) -> tuple[int, int, str]:
    return sum(w.tokens_done for w in writers), sum(w.request.most_tokens for w in writers), "tokens"


def _scales_done(writers: Sequence[Writer]) -> tuple[int, int, str]:
    return sum(w.scales_done for w in writers), sum(w.request.most_scales for w in writers), "scales"


def _branches(requests: Sequence[Request], sampling: SamplingOptions) -> list[Branch]:
    """The branches that count at some scale of some image."""
    found: set[Branch] = {"everything"}
    for request in requests:
        scales = len(request.schedule.grids) if request.schedule else 0
        reads_images = has_images(request.context) or (request.until_end and request.images > 1)
        for scale in range(1, scales + 1):
            found |= sampling.branch_weights(scale, scales, reads_images).keys()
    return [branch for branch in _BRANCHES if branch in found]


def _read_contexts(session: Session, writers: Sequence[Writer]) -> None:
    """Fill the rows that know everything, and those that know the images of a context."""
    contexts: list[tuple[Writer, Branch, list[Part]]] = [
        (writer, "everything", list(writer.request.context)) for writer in writers
    ]
    contexts += [
        (writer, "images", [part for part in writer.request.context if isinstance(part, ImagePart)])
        for writer in writers
        if "images" in writer.rows
    ]
    known = [entry for entry in contexts if position_count(entry[2], session.model.config.context_mode)]
    if known:
        rows = [writer.rows[branch] for writer, branch, _ in known]
        hidden_BE = session.read(rows, [parts for _, _, parts in known])
        for (writer, branch, _), hidden_E in zip(known, hidden_BE, strict=True):
            if branch == "everything":
                writer.hidden_E = hidden_E
    if any(writer.hidden_E is None and writer.image is None for writer in writers):
        raise ValueError("there is nothing to continue: give a prompt or an image")


def _groups(writers: Sequence[Writer]) -> list[list[Writer]]:
    """Writers whose next steps are of one kind."""
    found: dict[tuple[object, ...], list[Writer]] = {}
    for writer in writers:
        found.setdefault(writer.kind, []).append(writer)
    return list(found.values())


def _write_token(session: Session, writers: Sequence[Writer], text: TextSampling) -> None:
    """Draw the next text id of documents, or `<boi>`, and feed it."""
    config = session.model.config
    for writer in writers:
        if not writer.text_left:
            writer.end_text()
    ready = [writer for writer in writers if writer.text_left]
    if not ready:
        return
    logits_BW = session.model.text_logits(torch.stack([writer.hidden for writer in ready]))
    _require_finite(logits_BW, "of text")
    logits_BW[[number for number, w in enumerate(ready) if not w.images_left], -1] = -torch.inf
    if text.ids is not None:
        logits_BW[:, text.ids : -1] = -torch.inf
    generators = [writer.generator for writer in ready]
    drawn_B1 = draw(logits_BW[:, None], text.temperature, text.top_k, text.top_p, generators)
    going_on = [
        writer
        for writer, token in zip(ready, drawn_B1[:, 0].tolist(), strict=True)
        if writer.take_id(token, config.end_id, boi=config.text_vocabulary)
    ]
    if going_on:
        rows = [writer.rows["everything"] for writer in going_on]
        hidden_BE = session.append_text(rows, [writer.ids[-1] for writer in going_on])
        for writer, hidden_E in zip(going_on, hidden_BE, strict=True):
            writer.hidden_E = hidden_E


def _write_scale(session: Session, writers: Sequence[Writer], sampling: SamplingOptions) -> None:
    """Draw the codes of one scale of images that have come equally far; feed `<eoi>` after the last."""
    image = writers[0].image
    assert image is not None
    schedule, scale, scales = image.schedule, image.scale, len(image.schedule.grids)
    if scale == 1:
        session.clear([writer.rows["nothing"] for writer in writers if "nothing" in writer.rows])
    logits_BLV = _guided_logits(session, writers, schedule, scale, sampling)
    _require_finite(logits_BLV, f"at scale {scale}")
    temperature = sampling.temperature_at(scale_progress(scale, scales))
    generators = [writer.generator for writer in writers]
    drawn_BL = draw(logits_BLV, temperature, sampling.top_k, sampling.top_p, generators)
    for writer, codes_L in zip(writers, drawn_BL.cpu(), strict=True):
        writer.take_codes(codes_L)
    going_on = [writer for writer in writers if scale == scales and not writer.finished]
    if going_on:
        _end_images(session, going_on, schedule)


def _guided_logits(
    session: Session,
    writers: Sequence[Writer],
    schedule: ScaleSchedule,
    scale: int,
    sampling: SamplingOptions,
) -> Tensor:
    """Logits of a scale, mixed from the branches that count: [B, L, V]."""
    scales = len(schedule.grids)
    weights = [sampling.branch_weights(scale, scales, writer.reads_images) for writer in writers]
    fed: dict[Branch, list[int]] = {
        branch: [n for n, w in enumerate(writers) if branch in weights[n] or _keeps(w, branch)]
        for branch in _BRANCHES
    }
    codes_BN = torch.stack([writer.codes for writer in writers]).to(session.device)
    rows = [writers[number].rows[branch] for branch, numbers in fed.items() for number in numbers]
    places = [number for numbers in fed.values() for number in numbers]
    logits_RLV = session.scale_logits(rows, codes_BN[places], schedule, scale).float()
    pieces = torch.split(logits_RLV, [len(numbers) for numbers in fed.values()])
    mixed_BLV = torch.zeros_like(logits_RLV[: len(writers)])
    for (branch, numbers), logits_GLV in zip(fed.items(), pieces, strict=True):
        shares = [weights[number].get(branch, 0.0) for number in numbers]
        mixed_BLV[numbers] += logits_GLV * logits_GLV.new_tensor(shares)[:, None, None]
    return mixed_BLV


def _keeps(writer: Writer, branch: Branch) -> bool:
    """Whether a row must be fed although it does not count now: later images of the document read it."""
    return branch == "images" and branch in writer.rows and writer.request.until_end


def _end_images(session: Session, writers: Sequence[Writer], schedule: ScaleSchedule) -> None:
    """Feed `<eoi>` to the rows of documents that go on."""
    rows = [writer.rows["everything"] for writer in writers]
    others = [writer.rows["images"] for writer in writers if "images" in writer.rows]
    hidden_RE = session.end_image([*rows, *others], schedule)
    for writer, hidden_E in zip(writers, hidden_RE[: len(rows)], strict=True):
        writer.hidden_E = hidden_E


def _require_finite(logits: Tensor, where: str) -> None:
    if not logits.isfinite().all():
        raise FloatingPointError(f"the model's logits are not finite {where}; is it diverged?")
