"""The jobs that every peer's servers do: bytes in, bytes out.

    answer = jobs.job("echo")
    reply = answer(request)
"""

import os
import sys

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy

PIXELS = 64


def echo(request):
    return request


class Digits:
    """A classifier of handwritten digits: logistic regression on scikit-learn's own images.

    Training is deterministic: every process that trains gets the same model.
    """

    def __init__(self):
        from sklearn.datasets import load_digits
        from sklearn.linear_model import LogisticRegression

        images, digits = load_digits(return_X_y=True)
        self.images = images / 16
        self._model = LogisticRegression(max_iter=1000).fit(self.images[::2], digits[::2])

    def classifier(self):
        """A function: 64 float64, one a pixel, become one byte, the digit that they show."""
        import numpy as np

        predict = self._model.predict

        def classify(request):
            image = np.frombuffer(request, dtype=np.float64).reshape(1, PIXELS)
            return bytes([predict(image)[0]])

        classify(self.images[0])  # the first one takes a hundred times as long
        return classify


def job(name):
    """The function that does a job: of a request's bytes, or a view of them, to the reply."""
    return echo if name == "echo" else Digits().classifier()


def main():
    """Writes each image and the reply to it into a file: for clients that are not Python."""
    digits = Digits()
    classify = digits.classifier()
    with open(sys.argv[1], "wb") as file:
        for image in digits.images:
            file.write(image.tobytes() + classify(image.tobytes()))


if __name__ == "__main__":
    main()
