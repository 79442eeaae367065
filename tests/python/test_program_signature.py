"""Signatures of programs: what is one, what is refused, and what values they take."""

from __future__ import annotations

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotring import CallError, ErrorCode
from slotring.programs.signature import MAX_FIELDS, Mismatch, Signature


def refusal_of(definition) -> str:
    with pytest.raises(CallError) as refused:
        Signature.parse(definition)
    assert refused.value.code == ErrorCode.INVALID_ARGUMENT
    return str(refused.value)


def test_the_text_form_names_fields_and_types_in_order():
    signature = Signature.parse("question: str, n : int->answer: str, scores: list[float]")
    assert [(name, str(kind)) for name, kind in signature.inputs] == [
        ("question", "str"),
        ("n", "int"),
    ]
    assert [(name, str(kind)) for name, kind in signature.outputs] == [
        ("answer", "str"),
        ("scores", "list[float]"),
    ]
    assert str(signature) == "question: str, n: int -> answer: str, scores: list[float]"


def test_a_field_without_a_type_is_a_text():
    assert str(Signature.parse("question -> answer")) == "question: str -> answer: str"


def test_the_map_form_takes_maps_lists_and_texts():
    wanted = Signature.parse("a: int, b: str -> c: any")
    for inputs in ({"a": "int", "b": "str"}, ["a: int", "b"], "a: int, b"):
        for outputs in ({"c": "any"}, ["c: any"], "c: any"):
            assert Signature.parse({"inputs": inputs, "outputs": outputs}) == wanted
    with_instructions = {"inputs": [], "outputs": "c: any", "instructions": "Be brief."}
    assert Signature.parse(with_instructions).instructions == "Be brief."


@pytest.mark.parametrize(
    ("definition", "hint"),
    [
        ("question answer", "one '->'"),
        ("a -> b -> c", "one '->'"),
        ("", "one '->'"),
        ("a ->", "no outputs"),
        ("a, -> b", "has no name"),
        ("a b -> c", "field 'a b' is no Python identifier"),
        ("1a -> c", "field '1a' is no Python identifier"),
        ("class -> c", "field 'class' is a keyword"),
        ("a -> a", "two fields 'a'"),
        ("a: string -> b", "type of the field 'a' is 'string'"),
        ("a: -> b", "type of the field 'a' is ''"),
        ("a: list[] -> b", "type of the field 'a' is ''"),
        ("a: list[str -> b", "type of the field 'a'"),
        ("a: dict[int, str] -> b", "keys of a dict are texts"),
        ("a: dict[str] -> b", "keys of a dict are texts"),
        ("a: " + "list[" * 20 + "str" + "]" * 20 + " -> b", "nested over 8 deep"),
        ("ﬁ -> b", "has to be written as Python reads it: 'fi'"),
        (", ".join(f"f{i}" for i in range(MAX_FIELDS + 1)) + " -> b", "more than 256 fields"),
        (7, "a text or a map, not int"),
        (None, "a text or a map, not null"),
        ({"inputs": {"a": "str"}}, "key 'outputs' is missing"),
        ({"inputs": {"a": 3}, "outputs": "b"}, "type of the field 'a' has to be a text"),
        ({"inputs": [3], "outputs": "b"}, "is int, no text"),
        ({"inputs": 3, "outputs": "b"}, "has to be str or dict or list, not int"),
        ({"inputs": "a", "output": "b"}, "no key 'output'; did you mean 'outputs'?"),
    ],
)
def test_what_is_no_signature_is_refused_with_the_field_and_the_fault(definition, hint):
    assert hint in refusal_of(definition)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("str", ["", "x"], [1, None, b"x", ["x"]]),
        ("int", [0, -(2**62)], [1.0, True, "1", None]),
        ("float", [0.5, 3], [True, "1", None]),
        ("bool", [True, False], [0, 1, "true", None]),
        ("list", [[], [1, "a", None]], ["ab", {}, None]),
        ("dict", [{}, {"a": [1]}], [[], {1: 2}, None]),
        ("any", [None, 1, "a", [], {}, b"x"], []),
        ("list[int]", [[], [1, 2]], [["a"], [1.5], [True]]),
        ("dict[str, list[float]]", [{}, {"a": [1, 2.5]}], [{"a": 1}, {"a": ["x"]}]),
    ],
)
def test_values_are_checked_against_their_type(kind, good, bad):
    signature = Signature.parse(f"x: {kind} -> y: {kind}")
    for value in good:
        assert signature.check_inputs({"x": value}) == {"x": value}
        assert signature.check_outputs({"y": value}) == {"y": value}
    for value in bad:
        with pytest.raises(Mismatch, match="the input 'x'"):
            signature.check_inputs({"x": value})


def test_an_int_becomes_a_float_where_one_is_wanted():
    checked = Signature.parse("x: list[float] -> y").check_inputs({"x": [1]})
    assert isinstance(checked["x"][0], float)


def test_missing_unknown_and_misplaced_values_are_named():
    signature = Signature.parse("x: list[list[int]] -> y")
    for values, hint in [
        ({}, "the input 'x' is missing"),
        ({"x": [], "z": 1}, "there is no input 'z'; there are 'x'"),
        ({"x": [[1], [2, "3"]]}, "the input 'x'[1][1] has to be int, not str"),
    ]:
        with pytest.raises(Mismatch) as mismatch:
            signature.check_inputs(values)
        assert hint in str(mismatch.value)
    with pytest.raises(Mismatch, match="the outputs have to be a map, not list"):
        signature.check_outputs(["y"])


names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,12}", fullmatch=True).filter(
    lambda name: not keyword.iskeyword(name)
)
kinds = st.recursive(
    st.sampled_from(["str", "int", "float", "bool", "list", "dict", "any"]),
    lambda inner: inner.map("list[{}]".format) | inner.map("dict[str, {}]".format),
    max_leaves=4,
)


@given(st.dictionaries(names, kinds, min_size=1, max_size=8), st.data())
def test_each_form_of_a_signature_stands_for_the_same(fields, data):
    cut = data.draw(st.integers(0, len(fields) - 1))
    entries = [f"{name}: {kind}" for name, kind in fields.items()]
    text = f"{', '.join(entries[:cut])} -> {', '.join(entries[cut:])}"
    signature = Signature.parse(text)
    assert Signature.parse(str(signature)) == signature
    assert Signature.parse(signature.as_value()) == signature
    assert [name for name, _ in signature.inputs + signature.outputs] == list(fields)


@given(st.text(max_size=40) | st.text(alphabet="ab:,->[] strlidc", max_size=40))
def test_any_text_is_a_signature_or_refused(text):
    try:
        signature = Signature.parse(text)
    except CallError as refused:
        assert refused.code == ErrorCode.INVALID_ARGUMENT
    else:
        assert Signature.parse(str(signature)) == signature
