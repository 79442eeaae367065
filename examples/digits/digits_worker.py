"""What the pool's workers run: each trains the classifier when it starts, and then classifies."""

import numpy as np
import slotring

from digits_model import PIXELS, DigitsModel


@slotring.service
class Digits:
    def __init__(self):
        self._model = DigitsModel()

    @slotring.handler
    def classify(self, request):
        """The digit that an image shows: 64 bytes, one a pixel, become one byte."""
        return bytes([self._model.predict(_image(request))[0]])

    @slotring.handler
    def explain(self, request):
        """The digit that an image of 64 bytes shows, and how likely each digit is."""
        probabilities = self._model.probabilities(_image(request))[0]
        return {"digit": int(probabilities.argmax()), "probabilities": probabilities.tolist()}


def _image(request):
    if not isinstance(request, memoryview) or request.nbytes != PIXELS:
        raise ValueError(f"an image has {PIXELS} bytes, one a pixel")
    return np.frombuffer(request, dtype=np.uint8).reshape(1, PIXELS)
