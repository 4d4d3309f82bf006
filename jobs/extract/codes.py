"""Pictures into codes, in batches whose shape and composition no setting changes.

Sums of floats depend on the size of a batch, on the number of threads and on the device, and one changed bit
can choose another code. On a CPU a picture is encoded alone, by one thread. On a GPU pictures of one schedule
are encoded together, always as many, the last batch filled up with repetitions; its rows do not mix.

Shapes: B batch, H W pixels, N tokens of a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from infra.errors import UserError
from jobs.attempts import die
from jobs.extract.prepare import Picture
from jobs.recipe.tokenizer import Device
from model.scales import ScaleSchedule
from model.tokenizer import Correction, ImageTokenizer

COMPUTE_TOKENS: dict[Device, int] = {"cpu": 1, "cuda": 32768}
"""Tokens of a batch at most, unless one picture has more. These are no settings: codes depend on them."""

AS_IT_IS = Correction(probability=0)
"""Of pictures that are only read: an edit starts from a true picture, and an answer is about one."""

BatchSize = Callable[[ScaleSchedule], int]


@dataclass(frozen=True)
class Codes:
    """What a picture is: the codes to predict and, after self-correction, those to read."""

    targets: npt.NDArray[np.uint16]
    inputs: npt.NDArray[np.uint16]


class _Scheduled(Protocol):
    @property
    def schedule(self) -> ScaleSchedule: ...

    @property
    def predicted(self) -> bool: ...


S = TypeVar("S", bound=_Scheduled)


def batch_size(device: Device) -> BatchSize:
    """How many pictures of a schedule are encoded together on a device."""
    return lambda schedule: max(1, COMPUTE_TOKENS[device] // schedule.tokens)


def bucketed(items: Iterable[S], size: BatchSize) -> Iterator[list[S]]:
    """Batches of items of one schedule, all predicted or none, each once it is full; the rest at the end."""
    buckets: dict[tuple[ScaleSchedule, bool], list[S]] = {}
    for item in items:
        key = (item.schedule, item.predicted)
        bucket = buckets.setdefault(key, [])
        bucket.append(item)
        if len(bucket) == size(item.schedule):
            yield buckets.pop(key)
    yield from buckets.values()


def check_device(device: Device) -> None:
    """Make a GPU repeat itself.

    Raises:
        UserError: there is no such device.
    """
    if device == "cuda":
        if not torch.cuda.is_available():
            raise UserError("there is no CUDA device", "tokens.device", "Set it to cpu, or add a GPU")
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False


class PictureEncoder:
    """Encodes pictures of one schedule together, as `ImageTokenizer.encode_corrected` does one.

    Those that are predicted are self-corrected (paper 2.2), those that are only read are not.
    """

    def __init__(
        self, tokenizer: ImageTokenizer, correction: Correction, device: Device, size: BatchSize | None = None
    ) -> None:
        check_device(device)
        self._tokenizer = tokenizer.to(device)
        self._correction = correction
        self._device = device
        self.size = size or batch_size(device)

    def encode(
        self, pictures: Sequence[Picture], seeds: Sequence[int]
    ) -> list[tuple[Codes | Exception, int]]:
        """Codes of each picture, or why there are none, and how often it was tried.

        Args:
            pictures: at most as many as `size` says for their schedule; all predicted, or none.
            seeds: of what is sampled, for each picture.

        Raises:
            UserError: the GPU has too little memory, which no picture is to blame for.
        """
        try:
            return [(codes, 1) for codes in self._encode(pictures, seeds)]
        except UserError:
            raise
        except Exception:
            return [(self._alone(picture, seed), 2) for picture, seed in zip(pictures, seeds, strict=True)]

    def _alone(self, picture: Picture, seed: int) -> Codes | Exception:
        try:
            return self._encode([picture], [seed])[0]
        except UserError:
            raise
        except Exception as error:
            return error

    def _encode(self, pictures: Sequence[Picture], seeds: Sequence[int]) -> list[Codes]:
        """Codes of pictures. What a machine lacks is not blamed on them."""
        try:
            return self._codes(pictures, seeds)
        except torch.OutOfMemoryError as error:
            what = f"a GPU's memory is too small for {self.size(pictures[0].schedule)} pictures at once"
            mend = "Raise it, so that fewer workers share a GPU, or take a larger one"
            raise UserError(what, "tokens.gpus_per_worker", mend) from error
        except (torch.AcceleratorError, MemoryError):
            # A device stays broken for its process; a new worker gets a new one.
            die()

    @torch.inference_mode()
    def _codes(self, pictures: Sequence[Picture], seeds: Sequence[int]) -> list[Codes]:
        schedule = pictures[0].schedule
        places = [min(place, len(pictures) - 1) for place in range(self.size(schedule))]
        pixels_B3HW = to_pixels([pictures[place].pixels_HW3 for place in places], self._device)
        generators = [torch.Generator().manual_seed(seeds[place]) for place in places]
        correction = self._correction if pictures[0].predicted else AS_IT_IS
        found = self._tokenizer.encode_corrected(pixels_B3HW, schedule, correction, generators)
        targets_BN, inputs_BN = (codes_BN.cpu().numpy().astype(np.uint16) for codes_BN in found)
        return [Codes(targets_BN[row], inputs_BN[row]) for row in range(len(pictures))]


def to_pixels(pictures: Sequence[npt.NDArray[np.uint8]], device: Device) -> Tensor:
    """Pictures of one size as [B, 3, H, W] in [-1, 1]; a quarter of the bytes go over to the device."""
    pixels_BHW3 = torch.from_numpy(np.stack(pictures)).to(device)
    return (pixels_BHW3.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous()
