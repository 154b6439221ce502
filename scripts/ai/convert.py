#!/usr/bin/env python3
"""Makes model.safetensors of a checkpoint's pytorch_model.bin, beside it.

    pip install torch safetensors numpy
    scripts/ai/convert.py FOLDER

Pickles can run code when they are read; this one is read with weights_only, which lets nothing but
tensors through. The line that is printed is the file's entry for models.toml.
"""

import hashlib
import pathlib
import sys

import safetensors.torch
import torch


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: convert.py FOLDER")
    folder = pathlib.Path(sys.argv[1])
    source, target = folder / "pytorch_model.bin", folder / "model.safetensors"
    if not source.is_file():
        sys.exit(f"convert.py: {source} is not there")
    if target.exists():
        sys.exit(f"convert.py: {target} is there already")

    state = torch.load(source, map_location="cpu", weights_only=True)
    if not all(isinstance(value, torch.Tensor) for value in state.values()):
        sys.exit(f"convert.py: {source} holds other things than tensors")
    # Tied tensors share their memory, which the format does not have: each gets its own.
    tensors = {name: value.detach().clone().contiguous() for name, value in state.items()}

    part = target.with_suffix(".part")
    safetensors.torch.save_file(tensors, part, metadata={"format": "pt"})
    part.rename(target)
    digest = hashlib.sha256()
    with target.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    size, sha256 = target.stat().st_size, digest.hexdigest()
    print(f'{{ name = "{target.name}", size = {size}, sha256 = "{sha256}" }},')


if __name__ == "__main__":
    main()
