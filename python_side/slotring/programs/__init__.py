"""Programs by name: created from a definition, executed, listed and deleted.

A pool serves them by ``module = "slotring.programs"``, or from a module of the user's::

    from slotring.programs import Programs, program_type

    @program_type("shout")
    def make_shout(definition):
        return lambda inputs: {"answer": inputs["text"].upper()}

docs/programs.md has the commands, the types of programs, and signatures. Whoever may call the pool
may create programs, and so run any function that its workers can import: it is a service for
clients that are trusted with that.
"""

from slotring.programs import dspy_type, python_type, sklearn_type
from slotring.programs.definition import Definition, load, program_type
from slotring.programs.requests import Key
from slotring.programs.service import Programs
from slotring.programs.signature import FieldType, Signature

__all__ = [
    "Definition",
    "FieldType",
    "Key",
    "Programs",
    "Signature",
    "load",
    "program_type",
]

del dspy_type, python_type, sklearn_type  # imported for the types that they register
