"""The classifier itself: handwritten digits, by scikit-learn. Knows nothing of Slotring.

The data is the set of 1,797 images that comes with scikit-learn, 8 x 8 pixels each, whose values go
from 0 to 16 (E. Alpaydin, C. Kaynak, 1998, https://archive.ics.uci.edu/dataset/80). Training is
deterministic: every process that trains gets the same model.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

PIXELS = 64


def load_images():
    """All images as uint8 of shape (1797, 64), and the digits they show, of shape (1797,)."""
    data = load_digits()
    return data.data.astype(np.uint8), data.target


def held_out(count):
    """Which of `count` images no model has seen in training: every second one."""
    return np.arange(count) % 2 == 1


class DigitsModel:
    def __init__(self):
        images, digits = load_images()
        seen = ~held_out(len(images))
        self._forest = RandomForestClassifier(n_estimators=50, random_state=0)
        self._forest.fit(images[seen], digits[seen])

    def predict(self, images):
        """The digits that images of shape (n, 64) show."""
        return self._forest.predict(images)

    def probabilities(self, images):
        """How likely each image shows each digit, of shape (n, 10)."""
        return self._forest.predict_proba(images)
