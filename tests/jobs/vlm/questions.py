"""Questions that tests ask, and servers that answer by script."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

from PIL import Image
from vlm.server import Answer, Seen

from jobs.vlm import Question, Reply, Vlm
from jobs.vlm.answers import Caption

GOOD = {"caption": "a red square"}


def picture(colour: str = "red", width: int = 48, height: int = 32, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, kind)
    return buffer.getvalue()


def question(number: int = 0, data: bytes | None = None) -> Question[Caption]:
    """A question whose text has `hint <number>`."""
    images = (picture() if data is None else data,)
    return Question(str(number), "caption", Caption, images, {"caption": f"hint {number}"})


def number_of(seen: Seen) -> int:
    """Which `question` a request is."""
    return int(seen.text.partition("hint ")[2].split()[0])


def script(*answers: Answer) -> Callable[[Seen], Answer]:
    """The answers in turn; the last of them for ever."""
    lock, left = threading.Lock(), list(answers)

    def answer(seen: Seen) -> Answer:
        with lock:
            return left.pop(0) if len(left) > 1 else left[0]

    return answer


def ask_one(vlm: Vlm, asked: Question[Caption] | None = None) -> Reply[Caption]:
    (reply,) = vlm.ask([asked or question()])
    return reply
