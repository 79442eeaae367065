"""The program type ``sklearn``: a fitted estimator of scikit-learn.

=============  ==================================================================================
``path``       a file with the pickled estimator; whoever can write it runs code in the worker
``estimator``  instead: "module:name" of the estimator, or of a function that returns it
``method``     "predict" (the default), "predict_proba" or "transform"
=============  ==================================================================================

With one input of type ``list`` that input is the rows, and the output a list with one element a
row. Otherwise the inputs are the features of one row, in the signature's order, and the output is
that row's. There is one output.
"""

from __future__ import annotations

import os
from typing import Any

from slotring.packages import is_there, missing
from slotring.programs.definition import Definition, Program, load, program_type
from slotring.programs.requests import Key, invalid

METHODS = ("predict", "predict_proba", "transform")


@program_type("sklearn")
def make(definition: Definition) -> Program:
    options = definition.read_options(
        {"path": Key(str, ""), "estimator": Key(str, ""), "method": Key(str, "predict")}
    )
    if bool(options["path"]) == bool(options["estimator"]):
        raise invalid("a program of type 'sklearn' has one of the options 'path' and 'estimator'")
    if options["method"] not in METHODS:
        raise invalid(f"the method has to be {' or '.join(METHODS)}, not {options['method']!r}")
    signature = definition.signature
    if not signature.inputs or len(signature.outputs) != 1:
        raise invalid("a program of type 'sklearn' has one output, and one input or more")
    if not is_there("sklearn"):
        raise missing("scikit-learn", "a program of type 'sklearn' needs it")
    predict = getattr(_estimator(options), options["method"], None)
    if predict is None:
        raise invalid(f"the estimator has no method {options['method']!r}")
    rows_in_one = len(signature.inputs) == 1 and signature.inputs[0][1].name == "list"
    output = signature.outputs[0][0]

    def run(inputs: dict[str, Any]) -> dict[str, Any]:
        values = list(inputs.values())
        result = predict(values[0] if rows_in_one else [values])
        if hasattr(result, "toarray"):  # a sparse matrix
            result = result.toarray()
        plain = result.tolist() if hasattr(result, "tolist") else list(result)
        return {output: plain if rows_in_one else plain[0]}

    return run


def _estimator(options: dict[str, Any]) -> Any:
    if options["path"]:
        if not os.path.isfile(options["path"]):
            raise invalid(f"there is no file {options['path']!r}")
        import pickle

        with open(options["path"], "rb") as file:
            return pickle.load(file)
    found = load(options["estimator"])
    is_estimator = hasattr(found, options["method"]) and not isinstance(found, type)
    return found() if callable(found) and not is_estimator else found
