"""Pillow: both thumbnails of a picture; and how true the thumbnails of all are."""

import io
import json
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = (256, 512)


def square(image):
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return (left, top, left + side, top + side)


def make(data):
    image = Image.open(io.BytesIO(data))
    if image.mode != "RGB":
        image = image.convert("RGB")
    image.load()
    made = []
    for size in SIZES:
        out = io.BytesIO()
        small = image.resize((size, size), Image.LANCZOS, box=square(image))
        small.save(out, "WEBP", quality=80, method=4)
        made.append(out.getvalue())
    return made


def luma(pixels):
    return pixels @ np.array([0.299, 0.587, 0.114])


def exact(data, size):
    """The reduction in floating point, channel by channel, never rounded in between."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    channels = []
    for channel in image.split():
        wide = Image.fromarray(np.asarray(channel, dtype=np.float32), "F")
        channels.append(np.asarray(wide.resize((size, size), Image.LANCZOS, box=square(image))))
    return luma(np.clip(np.stack(channels, -1), 0, 255))


def blurred(plane):
    """Gaussian of sigma 1.5 over 11 pixels, where it fits whole."""
    at = np.arange(-5, 6)
    kernel = np.exp(-(at**2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    rows = np.apply_along_axis(np.convolve, 0, plane, kernel, "valid")
    return np.apply_along_axis(np.convolve, 1, rows, kernel, "valid")


def ssim(one, other):
    """Wang et al. 2004, equation 13, with its constants for 8 bits."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_one, mean_other = blurred(one), blurred(other)
    var_one = blurred(one * one) - mean_one**2
    var_other = blurred(other * other) - mean_other**2
    both = blurred(one * other) - mean_one * mean_other
    top = (2 * mean_one * mean_other + c1) * (2 * both + c2)
    bottom = (mean_one**2 + mean_other**2 + c1) * (var_one + var_other + c2)
    return float(np.mean(top / bottom))


def score(webp, reference):
    image = Image.open(io.BytesIO(webp)).convert("RGB")
    return ssim(luma(np.asarray(image, dtype=np.float64)), reference)


def main():
    what, file, more = sys.argv[1:4]
    data = Path(file).read_bytes()
    if what == "measure":
        make(data)
        count = int(more)
        began = time.process_time()
        for _ in range(count):
            make(data)
        print((time.process_time() - began) * 1000 / count)
        return
    references = [exact(data, size) for size in SIZES]
    made = {"pillow": make(data)}
    for who in ("ours", "sharp"):
        made[who] = [Path(more, f"{who}-{size}.webp").read_bytes() for size in SIZES]
    scores = {
        who: [score(webp, reference) for webp, reference in zip(webps, references)]
        for who, webps in made.items()
    }
    print(json.dumps(scores))


main()
