"""Template processes: what they refuse, and how they say so. The test is the supervisor."""

import os
import pathlib
import socket
import subprocess
import sys
import textwrap

import pytest

WATCHDOG_S = 60


@pytest.fixture
def template(tmp_path):
    """Runs a template with modules of these texts to its end. Returns what it told the supervisor,
    what it wrote to stderr, and its exit code."""

    def run(preload: list[str] | None = None, **modules: str) -> tuple[bytes, str, int]:
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            command = [sys.executable, "-m", "slotring.template"]
            command += ["--socket-fd", str(theirs.fileno())]
            for name in preload if preload is not None else modules:
                command += ["--preload", name]
            path = f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}"
            process = subprocess.Popen(
                command,
                env=dict(os.environ, PYTHONPATH=path),
                pass_fds=[theirs.fileno()],
                stderr=subprocess.PIPE,
                text=True,
            )
            theirs.close()
            ours.settimeout(WATCHDOG_S)
            told = ours.recv(100_000)
            ours.close()  # a template that was preloaded leaves
            _, stderr = process.communicate(timeout=WATCHDOG_S)
            return told, stderr, process.returncode

    return run


def test_it_leaves_when_its_supervisor_does(template):
    told, stderr, exit_code = template(fine="import json")
    assert b"template" not in told and b"import" not in told
    assert (stderr, exit_code) == ("", 0)


@pytest.mark.parametrize(
    "text, why",
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(template, text, why):
    told, stderr, exit_code = template(fine="", failing=text)
    assert f"cannot import 'failing', of `preload`: {why}".encode() in told
    assert "Traceback" in stderr
    assert exit_code == 3


def test_a_native_thread_is_found_and_charged_to_its_module(template):
    told, _, exit_code = template(
        fine="",
        starting="""
            import _thread, threading, time
            started = threading.Event()
            def run():
                with open("/proc/thread-self/comm", "w") as comm:
                    comm.write("a-thread")
                started.set()
                time.sleep(1000)
            _thread.start_new_thread(run, ())
            started.wait()
        """,
    )
    assert b"'a-thread' (started while 'starting' was imported)" in told
    assert b"OMP_NUM_THREADS" in told
    assert exit_code == 0


def test_a_thread_that_ends_by_itself_is_no_harm(template):
    told, stderr, exit_code = template(
        brief="""
            import threading
            thread = threading.Thread(target=print)
            thread.start()
            thread.join()
        """
    )
    assert b"thread" not in told
    assert exit_code == 0


def test_cuda_must_not_be_initialised(template):
    told, _, _ = template(
        torch="""
            class cuda:
                @staticmethod
                def is_initialized():
                    return True
        """
    )
    assert b"initialised CUDA" in told


def test_handlers_of_fork_are_called_before_threads_are_counted(template, tmp_path):
    """As OpenBLAS has them, which ends its threads and starts them again when it needs them."""
    library = pathlib.Path(tmp_path, "atfork.c")
    library.write_text(
        """
        #include <pthread.h>
        #include <unistd.h>
        static pthread_t thread;
        static void* run(void* unused) { for (;;) pause(); }
        static void end(void) { pthread_cancel(thread); pthread_join(thread, 0); }
        void start(void) { pthread_create(&thread, 0, run, 0); pthread_atfork(end, 0, 0); }
        """
    )
    built = subprocess.run(
        ["cc", "-shared", "-fPIC", "-pthread", "-o", f"{tmp_path}/atfork.so", str(library)],
        capture_output=True,
    )
    if built.returncode != 0:
        pytest.skip("needs a C compiler")
    told, stderr, exit_code = template(
        ending=f"""
            import ctypes, os
            ctypes.CDLL("{tmp_path}/atfork.so").start()
            assert len(os.listdir("/proc/self/task")) == 2
        """
    )
    assert b"thread" not in told, told
    assert (stderr, exit_code) == ("", 0)
