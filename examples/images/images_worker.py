"""Shrinks images by an integer factor, each pixel the mean of a box: by PIL, OpenCV or numpy."""

import importlib.util

import slotring


def shrink_by_pil(image, factor):
    from PIL import Image

    return Image.fromarray(image).reduce(factor)


def shrink_by_opencv(image, factor):
    import cv2

    height, width = image.shape[:2]
    size = (width // factor, height // factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def shrink_by_numpy(image, factor):
    height, width, channels = image.shape
    boxes = image.reshape(height // factor, factor, width // factor, factor, channels)
    return boxes.mean(axis=(1, 3)).astype("uint8")


WAYS = {"PIL": shrink_by_pil, "cv2": shrink_by_opencv, "numpy": shrink_by_numpy}


@slotring.handler
def ways(request):
    """Which of them can be had here."""
    return ",".join(name for name in WAYS if importlib.util.find_spec(name)).encode()


@slotring.handler
def shrink(request, ctx):
    """{"image": array, "factor": int, "way": str} -> the smaller image."""
    image, factor = request["image"], request["factor"]
    height, width, channels = image.shape
    out = ctx.empty((height // factor, width // factor, channels), "uint8")
    out[...] = WAYS[request["way"]](image, factor)
    return out


@slotring.handler
def infer(request, ctx):
    """A linear layer in torch, over the slot's own memory both ways."""
    import torch

    x = torch.from_dlpack(slotring.dlpack(request["x"]))
    weights = torch.from_dlpack(slotring.dlpack(request["weights"]))
    out = ctx.empty((x.shape[0], weights.shape[1]))
    with torch.no_grad():
        torch.matmul(x, weights, out=torch.from_dlpack(out))
    return out


@slotring.handler
def has_torch(request):
    return b"yes" if importlib.util.find_spec("torch") else b"no"
