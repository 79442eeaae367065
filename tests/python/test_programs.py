"""The service Programs: each command's request, reply and errors."""

from __future__ import annotations

import pickle
import subprocess
import sys
import types

import pytest

import programs_of_tests
from expected_errors import refusal_of
from slotring import CallError, ErrorCode, errors, lifetime
from slotring.programs import Programs, catalogue, definition, program_type
from slotring.worker_sessions import open_store


class Session(dict):
    """A session's state without what keeps it."""

    name = "user-42"


def call(session=None):
    return types.SimpleNamespace(session=session, broadcast_key=None)


BROADCAST = types.SimpleNamespace(session=None, broadcast_key="program/p")


@pytest.fixture
def programs() -> Programs:
    open_store("memory")
    return Programs()


@pytest.fixture
def session() -> Session:
    return Session()


def definition_of(function="shout", **keys):
    return {
        "name": "p",
        "type": "python",
        "signature": "text: str -> answer: str",
        "options": {"callable": f"programs_of_tests:{function}"},
        **keys,
    }


def test_a_program_is_created_executed_listed_told_of_and_deleted(programs, session):
    ctx = call(session)
    assert programs.create_program(definition_of(), ctx) == {
        "name": "p",
        "scope": "session",
        "created": True,
    }
    done = programs.execute_program({"name": "p", "inputs": {"text": "hi"}}, ctx)
    assert 0 <= done.pop("execution_time") < 60
    assert done == {"name": "p", "scope": "session", "outputs": {"answer": "HI"}}
    summary = {
        "name": "p",
        "type": "python",
        "scope": "session",
        "signature": "text: str -> answer: str",
    }
    assert programs.list_programs(None, ctx) == {"programs": [summary], "count": 1}
    info = programs.get_program_info({"name": "p"}, ctx)
    assert info.pop("created_at") > 1e9 and info.pop("mean_execution_time") >= 0
    assert info == {
        "name": "p",
        "scope": "session",
        "type": "python",
        "signature": {"inputs": ["text: str"], "outputs": ["answer: str"], "instructions": ""},
        "options": {"callable": "programs_of_tests:shout"},
        "description": "",
        "built": True,
        "executions": 1,
        "failures": 0,
    }
    deleted = {"name": "p", "scope": "session", "deleted": True}
    assert programs.delete_program({"name": "p"}, ctx) == deleted
    assert programs.list_programs({"scope": "session"}, ctx) == {"programs": [], "count": 0}


def test_another_worker_makes_the_session_s_programs_from_its_state(programs, session):
    programs.create_program(definition_of(), call(session))
    moved = Session(pickle.loads(pickle.dumps(dict(session))))
    done = Programs().execute_program({"name": "p", "inputs": {"text": "hi"}}, call(moved))
    assert done["outputs"] == {"answer": "HI"}


def test_each_change_gives_the_session_s_state_a_new_value(programs, session):
    programs.create_program(definition_of(), call(session))
    first = session[catalogue.SESSION_KEY]
    programs.create_program(definition_of(name="q"), call(session))
    assert list(first) == ["p"] and list(session[catalogue.SESSION_KEY]) == ["p", "q"]


def test_a_create_can_be_repeated_but_not_with_another_definition(programs, session):
    ctx = call(session)
    programs.create_program(definition_of(), ctx)
    assert programs.create_program(definition_of(), ctx)["created"] is False
    refused = refusal_of(programs.create_program, definition_of(description="other"), ctx)
    assert refused.code == ErrorCode.ALREADY_EXISTS
    replaced = definition_of(description="other", replace=True)
    assert programs.create_program(replaced, ctx)["created"] is True
    assert programs.get_program_info({"name": "p"}, ctx)["description"] == "other"


def test_what_cannot_be_made_is_not_kept(programs, session):
    refusal_of(programs.create_program, definition_of("nothing"), call(session))
    assert not session


def test_a_program_that_is_not_there_is_not_found(programs, session):
    programs.create_program(definition_of(), call(session))
    for command in (programs.execute_program, programs.delete_program, programs.get_program_info):
        refused = refusal_of(command, {"name": "q"}, call(session))
        assert refused.code == ErrorCode.PROGRAM_NOT_FOUND
        assert "no program 'q'; there are 'p'" in str(refused)
    gone = programs.delete_program({"name": "q", "missing_ok": True}, call(session))
    assert gone["deleted"] is False


@pytest.mark.parametrize(
    ("request_", "hint"),
    [
        (None, "key 'name' is missing"),
        (b"x", "has to be a map, not bytes"),
        ({"nam": "p"}, "no key 'nam'; did you mean 'name'?"),
        (definition_of(name=3), "'name' has to be str, not int"),
        (definition_of(name=""), "1 to 55 bytes"),
        (definition_of(name="x" * 56), "1 to 55 bytes"),
        (definition_of(name="a\0b"), "1 to 55 bytes"),
        (definition_of(replace=1), "'replace' has to be bool, not int"),
        (definition_of(scope="pool"), "scope is 'pool'"),
        (definition_of(type="pyhton"), "no program type 'pyhton'; there are"),
        (definition_of(signature="text"), "one '->'"),
        (definition_of(options={}), "key 'callable' is missing"),
        (definition_of(options={"call": "x"}), "no key 'call'; did you mean 'callable'?"),
        (definition_of(options={"callable": "shout"}), "written as 'module:name'"),
        (definition_of(options={"callable": "no_such_module:f"}), "no module 'no_such_module'"),
        (definition_of("nothing"), "has no 'nothing'"),
        (definition_of("not_callable"), "cannot be called: it is int"),
        (definition_of("later"), "not a plain function"),
        (definition_of("generate"), "not a plain function"),
        (definition_of(signature="word -> answer"), "does not take the signature's inputs (word)"),
    ],
)
def test_a_definition_that_is_not_right_is_refused(programs, session, request_, hint):
    refused = refusal_of(programs.create_program, request_, call(session))
    assert refused.code == ErrorCode.INVALID_ARGUMENT
    assert hint in str(refused)


@pytest.mark.parametrize(
    ("inputs", "hint"),
    [
        ({}, "the input 'text' is missing"),
        ({"text": 3}, "the input 'text' has to be str, not int"),
        ({"text": "a", "more": 1}, "no input 'more'"),
    ],
)
def test_inputs_are_checked_before_the_program_runs(programs, session, inputs, hint):
    programs.create_program(definition_of("fail"), call(session))
    refused = refusal_of(programs.execute_program, {"name": "p", "inputs": inputs}, call(session))
    assert refused.code == ErrorCode.INVALID_ARGUMENT
    assert hint in str(refused)
    assert programs.get_stats(None, call(session))["executions"] == 0


def test_a_program_that_fails_keeps_its_python_type_and_traceback(programs, session):
    programs.create_program(definition_of("fail"), call(session))
    failure = refusal_of(
        programs.execute_program, {"name": "p", "inputs": {"text": "divide"}}, call(session)
    )
    code, retryable, message, python_type, traceback = errors.describe(failure)
    assert (code, retryable) == (ErrorCode.PROGRAM_FAILED, False)
    assert message == "the program 'p' failed: ZeroDivisionError: cannot divide"
    assert python_type == "ZeroDivisionError"
    assert "in fail" in traceback and "slotring/programs" not in traceback
    stats = programs.get_stats(None, call(session))
    assert (stats["executions"], stats["failures"]) == (1, 1)


def test_a_program_that_breaks_its_signature_has_failed(programs, session):
    several = "text: str -> words: list[str], count: int"
    for name, hint in [("wrong", "the output 'words' has to be list[str]"), ("odd", "object")]:
        programs.create_program(
            definition_of(name, name=name, signature=several), call(session)
        )
        failure = refusal_of(
            programs.execute_program, {"name": name, "inputs": {"text": "a b"}}, call(session)
        )
        assert failure.code == ErrorCode.PROGRAM_FAILED
        assert "broke its signature" in str(failure) and hint in str(failure)
    programs.create_program(definition_of("split", name="s", signature=several), call(session))
    done = programs.execute_program({"name": "s", "inputs": {"text": "a b"}}, call(session))
    assert done["outputs"] == {"words": ["a", "b"], "count": 2}


def test_a_call_error_of_a_program_is_the_answer_that_it_meant(programs, session):
    @program_type("refuses")
    def make(definition):
        def run(inputs):
            raise CallError("not now", ErrorCode.POOL_SATURATED, retryable=True)

        return run

    try:
        created = definition_of(type="refuses", options={})
        programs.create_program(created, call(session))
        failure = refusal_of(
            programs.execute_program, {"name": "p", "inputs": {"text": ""}}, call(session)
        )
        assert (failure.code, failure.retryable) == (ErrorCode.POOL_SATURATED, True)
        with pytest.raises(ValueError, match="two program types 'refuses'"):
            program_type("refuses")(lambda definition: None)
    finally:
        del definition._types["refuses"]


def test_a_missing_dependency_is_told_apart_from_a_missing_module(programs, session, tmp_path):
    (tmp_path / "needs_more.py").write_text("import a_package_that_is_not_there\n")
    (tmp_path / "raises.py").write_text("1 / 0\n")
    sys.path.insert(0, str(tmp_path))
    try:
        for module, code in [
            ("needs_more", ErrorCode.DEPENDENCY_MISSING),
            ("raises", ErrorCode.PROGRAM_FAILED),
        ]:
            created = definition_of(options={"callable": f"{module}:f"})
            refused = refusal_of(programs.create_program, created, call(session))
            assert refused.code == code
    finally:
        sys.path.remove(str(tmp_path))


def test_without_a_session_there_are_global_programs_only(programs):
    for command, request in [
        (programs.create_program, definition_of()),
        (programs.delete_program, {"name": "p"}),
        (programs.list_programs, {"scope": "session"}),
        (programs.reset_state, None),
        (programs.cleanup_session, None),
        (programs.get_session_data, None),
        (programs.update_session_data, None),
    ]:
        refused = refusal_of(command, request, call())
        assert refused.code == ErrorCode.INVALID_ARGUMENT
        assert "needs a session" in str(refused)
    assert programs.list_programs(None, call()) == {"programs": [], "count": 0}


def test_a_global_program_comes_by_broadcast_only(programs):
    created = definition_of(scope="global")
    for command, request in [
        (programs.create_program, created),
        (programs.delete_program, {"name": "p", "scope": "global"}),
    ]:
        refused = refusal_of(command, request, call())
        assert refused.code == ErrorCode.BROADCAST_ONLY
        assert "'program/p'" in str(refused)
    assert programs.create_program(created, BROADCAST)["created"] is True
    done = programs.execute_program({"name": "p", "inputs": {"text": "hi"}}, call())
    assert (done["scope"], done["outputs"]) == ("global", {"answer": "HI"})
    elsewhere = types.SimpleNamespace(session=None, broadcast_key="create_program")
    refused = refusal_of(programs.create_program, created, elsewhere)
    assert refused.code == ErrorCode.INVALID_ARGUMENT and "'program/p'" in str(refused)
    gone = {"name": "p", "scope": "global"}
    assert programs.delete_program(gone, BROADCAST)["deleted"] is True
    assert programs.delete_program(gone, BROADCAST)["deleted"] is False
    refused = refusal_of(programs.execute_program, {"name": "p"}, call())
    assert refused.code == ErrorCode.PROGRAM_NOT_FOUND


def test_a_session_s_program_hides_the_global_one_of_its_name(programs, session):
    programs.create_program(definition_of(scope="global"), BROADCAST)
    run = {"name": "p", "inputs": {"text": "hi"}}
    assert programs.execute_program(run, call(session))["scope"] == "global"
    programs.create_program(definition_of(), call(session))
    assert programs.execute_program(run, call(session))["scope"] == "session"
    listed = programs.list_programs(None, call(session))["programs"]
    assert [program["scope"] for program in listed] == ["session", "global"]
    assert programs.get_stats(None, call(session))["programs"] == {"session": 1, "global": 1}


def test_made_programs_are_kept_up_to_a_bound_and_made_again(session):
    built = catalogue.BuiltPrograms(most=2)
    records = [
        catalogue.Record("session", definition.Definition.parse(name, keys), 0.0)
        for name in "abc"
        for keys in [definition_of(description="")]
    ]
    kept = [built.get("s", record) for record in records]
    assert len(built) == 2
    assert built.find("s", records[0]) is None
    assert built.get("s", records[2]) is kept[2]
    built.drop("s", "c")
    assert built.find("s", records[2]) is None and built.clear() == 1


def test_cleanup_drops_what_was_made_and_nothing_else(programs, session):
    programs.create_program(definition_of(), call(session))
    assert programs.cleanup(None) == {"dropped": 1}
    assert programs.get_program_info({"name": "p"}, call(session))["built"] is False
    done = programs.execute_program({"name": "p", "inputs": {"text": "hi"}}, call(session))
    assert done["outputs"] == {"answer": "HI"}


def test_session_data_are_kept_apart_from_programs(programs, session):
    ctx = call(session)
    programs.create_program(definition_of(name="data"), ctx)
    assert programs.get_session_data(None, ctx) == {"data": {}}
    updated = programs.update_session_data({"data": {"a": 1, "b": [2]}}, ctx)
    assert updated == {"set": 2, "removed": 0, "count": 2}
    updated = programs.update_session_data({"data": {"a": 3}, "remove": ["b", "c"]}, ctx)
    assert updated == {"set": 1, "removed": 1, "count": 1}
    assert programs.get_session_data({"keys": ["a"]}, ctx) == {"data": {"a": 3}}
    refused = refusal_of(programs.get_session_data, {"keys": ["a", "z"]}, ctx)
    assert refused.code == ErrorCode.INVALID_ARGUMENT and "'z'" in str(refused)


def test_reset_state_leaves_what_others_keep_in_the_session(programs, session):
    session["mine"] = 1
    programs.create_program(definition_of(), call(session))
    programs.update_session_data({"data": {"a": 1}}, call(session))
    assert programs.reset_state(None, call(session)) == {"programs": 1, "data": 1}
    assert session == {"mine": 1}


def test_cleanup_session_ends_the_session_and_shutdown_the_worker(programs, session):
    ended = []
    lifetime.bind(lifetime.Ends(lambda: ended.append("worker"), ended.append))
    programs.create_program(definition_of(), call(session))
    assert programs.cleanup_session(None, call(session)) == {"programs": 1, "data": 0}
    assert programs.shutdown(None)["status"] == "ending"
    assert ended == [session, "worker"]


@pytest.mark.parametrize("key", [catalogue.SESSION_KEY, "slotring.programs.data"])
def test_a_state_that_something_else_wrote_is_an_error_and_not_an_empty_one(
    programs, session, key
):
    session[key] = "scribbled"
    for command in (programs.list_programs, programs.get_session_data):
        try:
            command(None, call(session))
        except CallError as refused:
            assert refused.code == ErrorCode.SESSION_STATE_INVALID
            break
    else:
        pytest.fail("nobody noticed")
    session[key] = {"p": {"type": "python"}}
    if key == catalogue.SESSION_KEY:
        refused = refusal_of(programs.execute_program, {"name": "p"}, call(session))
        assert refused.code == ErrorCode.SESSION_STATE_INVALID


def test_an_estimator_predicts_rows_or_one_row(programs, session, tmp_path):
    pytest.importorskip("sklearn")
    file = tmp_path / "estimator.pickle"
    file.write_bytes(pickle.dumps(programs_of_tests.fixed_estimator))
    for name, options in {
        "file": {"path": str(file)},
        "object": {"estimator": "programs_of_tests:fixed_estimator"},
        "function": {"estimator": "programs_of_tests:make_estimator", "method": "predict"},
    }.items():
        keys = {"type": "sklearn", "options": options}
        row = definition_of(name=f"{name} row", signature="a: int, b: float -> y: float", **keys)
        programs.create_program(row, call(session))
        run = {"name": f"{name} row", "inputs": {"b": 2, "a": 1}}
        assert programs.execute_program(run, call(session))["outputs"] == {"y": 3.0}
        rows = definition_of(name=f"{name} rows", signature="x: list -> y: list[float]", **keys)
        programs.create_program(rows, call(session))
        run = {"name": f"{name} rows", "inputs": {"x": [[1, 2], [3, 4]]}}
        assert programs.execute_program(run, call(session))["outputs"] == {"y": [3.0, 7.0]}


def test_a_real_estimator_gives_plain_values(programs, session, tmp_path):
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression

    file = tmp_path / "fitted.pickle"
    file.write_bytes(pickle.dumps(LogisticRegression().fit([[0], [1], [9], [10]], [0, 0, 1, 1])))
    for method, kind in [("predict", "list[int]"), ("predict_proba", "list[list[float]]")]:
        options = {"path": str(file), "method": method}
        created = definition_of(
            name=method, type="sklearn", signature=f"x: list -> y: {kind}", options=options
        )
        programs.create_program(created, call(session))
        run = {"name": method, "inputs": {"x": [[0.5], [9.5]]}}
        result = programs.execute_program(run, call(session))["outputs"]["y"]
        assert result == [0, 1] if method == "predict" else result[0][0] > 0.5


@pytest.mark.parametrize(
    ("options", "signature", "code"),
    [
        ({}, "a: int -> y", "INVALID_ARGUMENT"),
        ({"path": "/x", "estimator": "a:b"}, "a: int -> y", "INVALID_ARGUMENT"),
        ({"path": "/no/such/file"}, "a: int -> y", "INVALID_ARGUMENT"),
        ({"path": "/x", "method": "fit"}, "a: int -> y", "INVALID_ARGUMENT"),
        ({"estimator": "programs_of_tests:not_callable"}, "a: int -> y", "INVALID_ARGUMENT"),
        ({"estimator": "programs_of_tests:fixed_estimator"}, "a: int -> y, z", "INVALID_ARGUMENT"),
        ({"path": __file__}, "a: int -> y", "PROGRAM_FAILED"),  # no pickle
    ],
)
def test_an_estimator_that_cannot_be_had_is_refused(programs, session, options, signature, code):
    pytest.importorskip("sklearn")
    created = definition_of(type="sklearn", signature=signature, options=options)
    assert refusal_of(programs.create_program, created, call(session)).code.name == code


def test_importing_the_service_imports_none_of_the_packages_that_programs_may_need():
    check = (
        "import sys, slotring.programs;"
        "sys.exit(', '.join({'dspy', 'sklearn', 'numpy'} & set(sys.modules)) or 0)"
    )
    finished = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_ping_tells_whether_dspy_is_there(pool):
    pool.start_worker("from slotring.programs import Programs")
    import importlib.util

    there = importlib.util.find_spec("dspy") is not None
    assert pool.call("ping")["dspy_available"] is there


def test_a_real_worker_serves_every_command(pool):
    pool.start_worker("from slotring.programs import Programs")
    names = {method["name"] for method in pool.call("methods")}
    assert names >= set(
        "ping configure_lm create_program execute_program list_programs delete_program "
        "get_program_info get_stats cleanup reset_state cleanup_session get_session_data "
        "update_session_data shutdown".split()
    )
    assert pool.call("get_stats")["programs"] == {"session": 0, "global": 0}
    assert pool.call("shutdown") == {"status": "ending", "pid": pool.worker.process.pid}
    pool.expect_exit(0)
