"""The jobs that every peer's servers do: bytes in, bytes out.

    answer = jobs.job("echo")
    reply = answer(request)
"""

import os
import sys

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy: one thread a worker

PIXELS = 64


def echo(request):
    return request


class Digits:
    """A classifier of handwritten digits: logistic regression on scikit-learn's own images.

    Training is deterministic: every process that trains gets the same model.
    """

    def __init__(self):
        import numpy as np
        from sklearn.datasets import load_digits
        from sklearn.linear_model import LogisticRegression

        self._np = np
        self.images, digits = load_digits(return_X_y=True)
        self._model = LogisticRegression(max_iter=5000).fit(self.images[::2], digits[::2])

    def __call__(self, request):
        """The digit that an image shows: 64 float64, one a pixel, become one byte."""
        image = self._np.frombuffer(request, dtype=self._np.float64).reshape(1, PIXELS)
        return bytes([self._model.predict(image)[0]])


def job(name):
    """The function that does a job: takes a request's bytes or a view of them, returns the reply."""
    return {"echo": lambda: echo, "digits": Digits}[name]()


def main():
    """Writes each image and the reply to it into a file: for clients that are not Python."""
    digits = Digits()
    with open(sys.argv[1], "wb") as file:
        for image in digits.images:
            file.write(image.tobytes() + digits(image.tobytes()))


if __name__ == "__main__":
    main()
