"""How close reconstructions are to their pictures: the columns of the paper's Table 12.

Every figure is of pictures as people get them: rounded to 8 bits, values 0..1 (data range 1.0).

Shapes: B batch, 3 channels, H W pixels, N tokens, V codebook rows, F features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3

from infra.errors import UserError
from jobs.tokenizer.perceptual import LEAST_SIDE as LPIPS_LEAST_SIDE
from jobs.tokenizer.perceptual import Lpips
from jobs.tokenizer.weights import load_weights
from model.scales import ScaleSchedule
from model.tokenizer import ImageTokenizer
from model.tokenizer.codebook import code_use

ALL = "all"
"""Name of the figures over all groups."""

PSNR_MOST = 100.0
"""Decibels that equal pictures count, whose true ratio is infinite."""

SSIM_WINDOW = 11
"""Pixels per side of SSIM's Gaussian window (sigma 1.5); smaller pictures have no SSIM."""

_INCEPTION_WHERE = "tokenizer_evaluation.inception"
_INCEPTION_MEND = "Name a local file with torch-fidelity's Inception weights, or set rfid to false"


@dataclass(frozen=True)
class Figures:
    """What was measured of a set of pictures; None is what was not, or cannot be."""

    pictures: int
    psnr: float
    """Mean over pictures of each one's peak signal-to-noise ratio, in decibels."""
    ssim: float | None
    """Mean structural similarity, at most 1, of pictures of SSIM_WINDOW pixels per side or more."""
    lpips: float | None
    """Mean perceptual distance, from 0, of pictures of LPIPS_LEAST_SIDE pixels per side or more."""
    rfid: float | None
    """Frechet distance between Inception's features of the pictures and of the reconstructions."""
    codebook_use: float
    """Share of the codes that occur."""
    dead_codes: int
    """Codes that do not."""
    perplexity: float
    """exp of the entropy of the codes' frequencies: as many equally frequent codes would say as much."""


class ReconstructionMetrics:
    """Measures pictures and their reconstructions, by group, such as the schedule, and over all.

    SSIM is torchmetrics' with data range 1.0, the true one. TokenFlow passes 2.0 for values in 0..1, which
    makes the stabilising constants four times as large and SSIM higher than it is: do not compare with its.

    rFID needs two pictures, and below some thousands it is biased upwards: compare only figures of as many
    pictures. It is of all pictures and not by group, because a few pictures say nothing of a distribution.
    """

    def __init__(
        self, codebook_size: int, lpips: Lpips | None = None, inception: nn.Module | None = None
    ) -> None:
        """`inception`: 8-bit images [B, 3, H, W] to features [B, F], with F as `num_features`."""
        self._codebook_size = codebook_size
        self._lpips = lpips
        self._fid = FrechetInceptionDistance(inception) if inception is not None else None
        self._groups: dict[str, _Group] = {}

    @torch.no_grad()
    def update(
        self, original_BCHW: Tensor, decoded_BCHW: Tensor, indices_BN: Tensor, group: str = ALL
    ) -> None:
        """Measure pictures in [-1, 1] of one size and the codes that their reconstructions come from.

        Raises:
            ValueError: the shapes of pictures and reconstructions differ.
        """
        if original_BCHW.shape != decoded_BCHW.shape:
            raise ValueError(
                f"pictures are {tuple(original_BCHW.shape)}, reconstructions {tuple(decoded_BCHW.shape)}"
            )
        original_BCHW, decoded_BCHW = to_8_bits(original_BCHW), to_8_bits(decoded_BCHW)
        found = self._groups.setdefault(group, _Group(torch.zeros(self._codebook_size, dtype=torch.int64)))
        found.counts_V += torch.bincount(indices_BN.flatten().cpu(), minlength=self._codebook_size)
        found.psnr += psnr(original_BCHW, decoded_BCHW)
        found.ssim += ssim(original_BCHW, decoded_BCHW)
        found.lpips += self._perceptual(original_BCHW, decoded_BCHW)
        if self._fid is not None:
            self._fid.to(original_BCHW.device)
            self._fid.update(original_BCHW, real=True)
            self._fid.update(decoded_BCHW, real=False)

    def compute(self) -> dict[str, Figures]:
        """The figures of each group, by name, and last `ALL`.

        Raises:
            ValueError: nothing was measured.
        """
        if not self._groups:
            raise ValueError("there are no figures of no pictures")
        by_group = {name: self._groups[name].figures(rfid=None) for name in sorted(self._groups)}
        return {**by_group, ALL: _merge(list(self._groups.values())).figures(self._rfid())}

    def code_counts(self) -> Tensor:
        """How often each code occurs over all groups: [V], int64."""
        return _merge(list(self._groups.values())).counts_V

    def _perceptual(self, original_BCHW: Tensor, decoded_BCHW: Tensor) -> list[float]:
        if self._lpips is None or min(original_BCHW.shape[2:]) < LPIPS_LEAST_SIDE:
            return []
        distances_B = self._lpips(original_BCHW / 127.5 - 1, decoded_BCHW / 127.5 - 1)
        return [float(distance) for distance in distances_B]

    def _rfid(self) -> float | None:
        if self._fid is None or int(self._fid.real_features_num_samples) < 2:
            return None
        return float(self._fid.compute())


def reconstruct(
    tokenizer: ImageTokenizer, original_13HW: Tensor, schedule: ScaleSchedule, metrics: ReconstructionMetrics
) -> Tensor:
    """A picture through the tokenizer and back, measured in the group of its schedule."""
    indices_1N = tokenizer.encode(original_13HW, schedule)
    decoded_13HW = tokenizer.decode(indices_1N, schedule)
    metrics.update(original_13HW, decoded_13HW, indices_1N, schedule.name)
    return decoded_13HW


@dataclass
class _Group:
    """The figures of single pictures, and how often each code occurs in them."""

    counts_V: Tensor
    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    lpips: list[float] = field(default_factory=list)

    def figures(self, rfid: float | None) -> Figures:
        """Means over the pictures."""
        use = code_use(self.counts_V)
        return Figures(
            pictures=len(self.psnr),
            psnr=_mean(self.psnr),
            ssim=_mean(self.ssim) if self.ssim else None,
            lpips=_mean(self.lpips) if self.lpips else None,
            rfid=rfid,
            codebook_use=use.share,
            dead_codes=use.dead,
            perplexity=use.perplexity,
        )


def to_8_bits(images_BCHW: Tensor) -> Tensor:
    """Pictures in [-1, 1] as uint8 in 0..255, rounded as they are written to files."""
    return ((images_BCHW.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def psnr(original_BCHW: Tensor, decoded_BCHW: Tensor) -> list[float]:
    """Peak signal-to-noise ratio of each pair of 8-bit pictures, in decibels; PSNR_MOST at most."""
    pair = _unit(decoded_BCHW), _unit(original_BCHW)
    ratios_B = peak_signal_noise_ratio(*pair, data_range=1.0, reduction="none", dim=(1, 2, 3))
    return [float(ratio) for ratio in ratios_B.clamp(max=PSNR_MOST)]


def ssim(original_BCHW: Tensor, decoded_BCHW: Tensor) -> list[float]:
    """Structural similarity of each pair of 8-bit pictures; nothing where they are too small for it.

    The mean is over the windows that lie within the picture (Wang et al. 2004). torchmetrics' own takes
    windows over a mirrored border in, too, which shifts small pictures more than large ones.
    """
    if min(original_BCHW.shape[2:]) < SSIM_WINDOW:
        return []
    pair = _unit(decoded_BCHW), _unit(original_BCHW)
    _, map_BCHW = structural_similarity_index_measure(*pair, data_range=1.0, return_full_image=True)
    border = SSIM_WINDOW // 2
    means_B = map_BCHW[..., border:-border, border:-border].mean(dim=(1, 2, 3))
    return [float(mean) for mean in means_B]


def load_inception(file: str | None, where: str = _INCEPTION_WHERE, mend: str = _INCEPTION_MEND) -> nn.Module:
    """torch-fidelity's Inception (FID's own weights) from a local file, torch's cache or a download.

    It resizes to 299 pixels as FID's first implementation did, without antialiasing, for figures that can
    be compared with published ones.

    Raises:
        UserError: there is no such file, it holds other weights, or nothing can be downloaded. `where` is
            the setting that names the file, and `mend` says what else can be done.
    """
    weights = load_weights(file, URL_INCEPTION_V3, where, mend)
    with TemporaryDirectory() as folder:
        # torch-fidelity unpickles the file it is given: it gets a copy of what was read as data alone.
        copy = f"{folder}/inception.pth"
        torch.save(weights, copy)
        try:
            return _Inception("inception-v3-compat", ["2048"], copy, antialias=False)
        except RuntimeError as error:
            what = "not torch-fidelity's Inception weights"
            raise UserError(what, file or URL_INCEPTION_V3, mend) from error


class _Inception(NoTrainInceptionV3):
    """Inception up to its last pooling."""

    num_features = 2048


def _unit(pixels_BCHW: Tensor) -> Tensor:
    """Doubles, because SSIM's variances are small differences of large numbers."""
    return pixels_BCHW.double() / 255


def _merge(groups: Sequence[_Group]) -> _Group:
    return _Group(
        torch.stack([group.counts_V for group in groups]).sum(dim=0),
        [value for group in groups for value in group.psnr],
        [value for group in groups for value in group.ssim],
        [value for group in groups for value in group.lpips],
    )


def _mean(values: Sequence[float]) -> float:
    """An exact sum does not depend on the order of the groups."""
    return math.fsum(values) / len(values)
