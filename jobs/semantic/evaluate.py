"""How well an encoder matches held-out pictures with their captions.

Shapes: N pictures, D width of an embedding, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from open_clip.loss import SigLipLoss
from torch import Tensor
from transformers import Siglip2Model

from infra.manifest import Output
from jobs.pictures.sheets import contact_sheet
from jobs.semantic.pictures import Pairs
from jobs.tensors import to_images
from model.semantic import embed_images, embed_texts

SHOWN = 24
"""Held-out pictures on the sheet."""


def sigmoid_loss(encoder: Siglip2Model, images_ND: Tensor, texts_ND: Tensor) -> Tensor:
    """SigLIP's loss (arXiv 2303.15343, algorithm 1): each of the N * N pairs belongs together or not.

    Summed over the pairs, divided by N.
    """
    loss: Tensor = SigLipLoss()(images_ND, texts_ND, encoder.logit_scale.exp(), encoder.logit_bias)
    return loss


@torch.no_grad()
def evaluate(encoder: Siglip2Model, pairs: Pairs, output: Output) -> dict[str, float]:
    """Measure on held-out pairs whose captions all differ, and publish the captions found for pictures.

    Returns:
        `retrieval`, the share of pictures whose own caption is nearest of all; `retrieval_chance`, that of
        guessing; `held_out_loss`; `compared`, the number of pairs.
    """
    device = encoder.device
    every = range(len(pairs))
    images_ND = torch.cat([embed_images(encoder, pairs.images([n]).to(device)) for n in every])
    texts_ND = torch.cat([embed_texts(encoder, pairs.ids_NT[[n]].to(device)) for n in every])
    nearest = (images_ND @ texts_ND.T).argmax(dim=1).tolist()
    _publish(output, pairs, nearest)
    return {
        "retrieval": sum(map(int.__eq__, nearest, every)) / len(pairs),
        "retrieval_chance": 1 / len(pairs),
        "held_out_loss": float(sigmoid_loss(encoder, images_ND, texts_ND)),
        "compared": len(pairs),
    }


def _publish(output: Output, pairs: Pairs, nearest: Sequence[int]) -> None:
    shown = range(min(SHOWN, len(pairs)))
    found = [pairs.captions[nearest[number]] for number in shown]
    title = "Held-out pictures, each with the nearest of their captions"
    output.picture("nearest_captions", contact_sheet(to_images(pairs.images(shown)), found, title=title))
