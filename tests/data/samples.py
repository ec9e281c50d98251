"""Small pictures and sounds, and folders of them."""

from __future__ import annotations

import numpy as np
import soundfile
from PIL import Image

GREY = np.random.default_rng(0).integers(0, 256, (20, 4, 5), dtype=np.uint8)
CLIPS = [np.arange(-50, 50 + number).astype(np.int16) * 300 for number in range(20)]


def write_clips(folder, clips, rate=8000, suffix=".wav"):
    folder.mkdir(parents=True, exist_ok=True)
    for index, clip in enumerate(clips):
        soundfile.write(folder / f"{index:02d}{suffix}", clip, rate, subtype="PCM_16")


def write_images(folder, arrays, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{index:02d}{suffix}")
