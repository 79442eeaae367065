"""A language model's server that is none: OpenAI's chat completions over HTTP, deterministic.

    with LmServer() as server:
        dspy.LM("openai/test", api_base=server.url, api_key="none")

Each field that the prompt asks for is answered: with the words of ``answers`` for that field, or
"NAME!" where there are none. It understands how DSPy asks: for fields in the form
``[[ ## name ## ]]``. To any other prompt it answers with the last message, upside down in case.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_FIELD = re.compile(r"`?\[\[ ## (\w+) ## \]\]`?")


class LmServer:
    """Serves on a port of its own of this machine, until the block is left."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.requests: list[dict[str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # noqa: N802
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                status, reply = server.respond(self.path, body)
                data = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *arguments: Any) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> LmServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def respond(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if path != "/v1/chat/completions":
            return 404, _error(f"there is no {path}")
        try:
            request = json.loads(body)
            messages = request["messages"]
            model = request["model"]
            text = self.answer(str(messages[-1]["content"]))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            return 400, _error(f"no chat completion request: {error!r}")
        self.requests.append(request)
        words = len(text.split())
        return 200, {
            "id": f"chatcmpl-{len(self.requests)}",
            "object": "chat.completion",
            "created": 0,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": words, "total_tokens": 1 + words},
        }

    def answer(self, prompt: str) -> str:
        # DSPy ends a prompt with "Respond with the corresponding output fields, starting with the
        # field `[[ ## a ## ]]`, then ...", and shows the inputs' fields before.
        asked = prompt.rpartition("Respond with")[2] if "Respond with" in prompt else ""
        names = [name for name in _FIELD.findall(asked) if name != "completed"]
        if not names:
            return prompt.swapcase()
        fields = [f"[[ ## {name} ## ]]\n{self.answers.get(name, name + '!')}" for name in names]
        return "\n\n".join([*fields, "[[ ## completed ## ]]"])


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"}}
