"""A real server on a socket of this machine that speaks OpenAI's completions as vLLM, SGLang or MindIE do, over an engine; with faults.

Run as a program it serves a model: `python -m tests.suites.serving.server default 8000`.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness.serving.engine import Continuation, Engine

VLLM, SGLANG, MINDIE, OPENAI = "vllm", "sglang", "mindie", "openai"


@dataclass
class Behaviour:
    """What the server does: its dialect, faults by name, and how long each token takes of at most `slots` requests at a time."""

    engine: Engine
    tokenizer: object = None
    dialect: str = VLLM
    faults: set[str] = field(default_factory=set)
    models: tuple[str, ...] = ("tiny",)
    key: str = ""
    seconds: float = 0.0
    slots: int = 0
    a_chunk: int = 1
    lock: threading.Lock = field(default_factory=threading.Lock)
    asked: list[dict] = field(default_factory=list)
    running: int = 0
    on_new: Callable[[Continuation], Continuation] = lambda found: found

    def __post_init__(self):
        self.room = threading.Semaphore(self.slots) if self.slots else nullcontext()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    behaviour: Behaviour

    def log_message(self, *_):
        pass

    def do_GET(self):
        told = self.behaviour
        if self._unknown_key():
            return
        if self.path == "/v1/models":
            models = [{"id": name, "owned_by": told.dialect, "max_model_len": 4096} for name in told.models]
            self._json({"object": "list", "data": models})
        elif self.path == "/version" and told.dialect == VLLM:
            self._json({"version": "0.99.0"})
        else:
            self._json({"error": {"message": "no such page"}}, 404)

    def do_POST(self):
        told = self.behaviour
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told.asked.append(body)
        if self._unknown_key():
            return
        if "busy" in told.faults:
            self._json({"error": {"message": "queue full"}}, 429, {"Retry-After": "0"})
        elif "stalls" in told.faults:
            time.sleep(3)
        elif body["model"] not in told.models:
            self._json({"error": {"message": f"The model `{body['model']}` does not exist."}}, 404)
        elif refused := self._refused(body):
            self._json({"error": {"message": refused}}, 400)
        else:
            with told.lock:
                told.running += 1
            try:
                with told.room:
                    self._chat(body) if self.path.endswith("/chat/completions") else self._complete(body)
            finally:
                with told.lock:
                    told.running -= 1

    def _unknown_key(self) -> bool:
        key = self.behaviour.key
        sent = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if key and sent != key:
            self._json({"error": {"message": f"Incorrect API key provided: {sent}"}}, 401)
            return True
        if "echoes the key" in self.behaviour.faults:
            self._json({"error": {"message": f"quota of {sent} used up"}}, 500)
            return True
        return False

    def _refused(self, body: dict) -> str:
        dialect = self.behaviour.dialect
        if dialect == MINDIE and not isinstance(body.get("prompt", ""), str):
            return "prompt must be a string"
        if dialect in (MINDIE, OPENAI) and "ignore_eos" in body:
            return "Unrecognized request argument supplied: ignore_eos"
        if dialect == SGLANG and body.get("echo") and body["max_tokens"] == 0:
            return "max_tokens must be positive"
        return ""

    def _ids(self, prompt) -> list[int]:
        ids = self.behaviour.tokenizer.encode(prompt, add_special_tokens=False) if isinstance(prompt, str) else list(prompt)
        if "adds a start token" in self.behaviour.faults:
            ids = [1, *ids]
        return ids[-20:] if "cuts the prompt" in self.behaviour.faults else ids

    def _complete(self, body: dict) -> None:
        told, ids = self.behaviour, self._ids(body["prompt"])
        choice = {"index": 0, "text": "", "finish_reason": "length", "logprobs": None}
        if body.get("prompt_logprobs") is not None and told.dialect == VLLM:
            choice["prompt_logprobs"] = self._prompt_logprobs(ids)
        new = body["max_tokens"] - ("short" in told.faults)
        if body.get("stream"):
            self._stream(body, ids, new)
            return
        found = self._new(ids, new)
        choice |= self._tokens(body, found.tokens, found.logprobs)
        if body.get("echo") and told.dialect in (VLLM, SGLANG):
            choice["logprobs"] = self._echo(body, ids, found)
        if body.get("return_token_ids"):
            choice["prompt_token_ids"] = ids
        self._json({"model": body["model"], "choices": [choice], "usage": self._usage(ids, len(found.tokens))})

    def _new(self, ids: list[int], count: int) -> Continuation:
        told = self.behaviour
        company = told.running
        with told.lock:
            found = told.engine.generate([ids], count)[0] if count > 0 else Continuation((), (), 0)
        if "other tokens in company" in told.faults and company > 1:
            found = Continuation(tuple((token + 1) % 200 for token in found.tokens), found.logprobs, found.count)
        return told.on_new(found)

    def _prompt_logprobs(self, ids: list[int]) -> list:
        values, greedy = self._scored(ids)
        likelier = [{} if best else {"255": {"logprob": value + 1.0, "rank": 1}} for value, best in zip(values, greedy, strict=True)]
        own = [{str(token): {"logprob": value}} for value, token in zip(values, ids[1:], strict=True)]
        return [None, *(top | given for top, given in zip(likelier, own, strict=True))]

    def _scored(self, ids: list[int]) -> tuple[list[float], list[bool]]:
        with self.behaviour.lock:
            found = self.behaviour.engine.score([ids])[0]
        values = list(found.logprobs)
        if "shifted" in self.behaviour.faults:
            values = [values[-1], *values[:-1]]
        return values, list(found.greedy)

    def _echo(self, body: dict, ids: list[int], found: Continuation) -> dict:
        values, greedy = self._scored(ids)
        top = [
            None,
            *({"?": value if best else value + 1} for value, best in zip(values, greedy, strict=True)),
            *({"?": 0} for _ in found.tokens),
        ]
        return {"token_logprobs": [None, *values, *found.logprobs], "tokens": ["?"] * len(top), "top_logprobs": top}

    def _tokens(self, body: dict, tokens, values) -> dict:
        told, found = self.behaviour, {}
        if body.get("return_token_ids") and told.dialect in (VLLM, SGLANG):
            found["token_ids"] = list(tokens)
        if body.get("logprobs") is not None:
            found["logprobs"] = {"token_logprobs": list(values), "tokens": ["?"] * len(tokens)}
        return found | {"text": told.tokenizer.decode(list(tokens)) if told.tokenizer else "x" * len(tokens)}

    def _usage(self, ids: list[int], new: int) -> dict:
        new += "wrong usage" in self.behaviour.faults
        return {"prompt_tokens": len(ids), "completion_tokens": new, "total_tokens": len(ids) + new}

    def _stream(self, body: dict, ids: list[int], new: int) -> None:
        told, found = self.behaviour, self._new(ids, new)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        size = told.a_chunk
        for at in range(0, new, size):
            time.sleep(told.seconds * size)
            if "drops" in told.faults and at:
                self.close_connection = True
                return
            piece = self._tokens(body, found.tokens[at : at + size], found.logprobs[at : at + size])
            last = at + size >= new
            choice = {"index": 0, "finish_reason": "length" if last else None, **piece}
            self._event("{not json" if "malformed" in told.faults and at else json.dumps({"choices": [choice]}, ensure_ascii=False))
        if body.get("stream_options"):
            self._event(json.dumps({"choices": [], "usage": self._usage(ids, new)}))
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, text: str) -> None:
        data = f"data: {text}\n\n".encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _chat(self, body: dict) -> None:
        told = self.behaviour
        text = told.tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True, tokenize=False)
        ids = self._ids(text)
        found = self._tokens(body, *(lambda c: (c.tokens, c.logprobs))(self._new(ids, 1)))
        own = {"prompt_token_ids": ids} if body.get("return_token_ids") and told.dialect == VLLM else {}
        message = {"role": "assistant", "content": found.pop("text")}
        self._json({"choices": [{"index": 0, "message": message, "finish_reason": "length", **found}], "usage": self._usage(ids, 1), **own})

    def _json(self, document: dict, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass  # a client that has gone


@contextmanager
def serving(behaviour: Behaviour, port: int = 0) -> Iterator[str]:
    """Serve until the block ends; its address is what --endpoint takes."""
    server = Quiet(("127.0.0.1", port), type("Bound", (Handler,), {"behaviour": behaviour}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    import torch

    from suites.assets.language_model import load
    from suites.serving.in_process import InProcess

    loaded = load(sys.argv[1])
    dtype = getattr(torch, sys.argv[3]) if len(sys.argv) > 3 else torch.bfloat16
    behaviour = Behaviour(InProcess(loaded.module.to(dtype), loaded.tokenizer, nullcontext), loaded.tokenizer, faults=set(sys.argv[4:]))
    with serving(behaviour, int(sys.argv[2])) as url:
        print(url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
