"""A completions server around an engine whose wheel has none, in that engine's environment.

Rules: standard library and the engine, nothing of ours. One completion route, streamed, with
`usage` at the end. OpenVINO GenAI batches; ik_llama.cpp computes one sequence at a time.

usage: python -P league_shim.py openvino|ik GGUF PORT THREADS
"""

import json
import queue
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CELLS, SLOTS = 16384, 8


class OpenVino:
    """Continuous batching on the processor, from the GGUF."""

    def __init__(self, gguf: str, threads: int) -> None:
        import openvino_genai as genai  # type: ignore[import-not-found]

        settings = genai.SchedulerConfig()
        settings.max_num_seqs = SLOTS
        settings.cache_size = 1  # GB
        settings.enable_prefix_caching = True
        options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "THROUGHPUT"}
        self._pipeline = genai.ContinuousBatchingPipeline(gguf, settings, "CPU", options)
        self._tokenizer = self._pipeline.get_tokenizer()
        self._genai = genai
        self._asked: queue.Queue[tuple[str, int, queue.Queue[list[int]]]] = queue.Queue()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        active: list[tuple[Any, queue.Queue[list[int]]]] = []
        number = 0
        while True:
            while not active or not self._asked.empty():
                prompt, most, told = self._asked.get()
                config = self._genai.GenerationConfig()
                config.max_new_tokens, config.ignore_eos, config.do_sample = most, True, False
                number += 1
                active.append((self._pipeline.add_request(number, prompt, config), told))
            self._pipeline.step()
            for handle, told in list(active):
                while handle.can_read():
                    for output in handle.read().values():
                        told.put(list(output.generated_ids))
                if handle.get_status() != self._genai.GenerationStatus.RUNNING:
                    told.put([])
                    active.remove((handle, told))

    def size(self, prompt: str) -> int:
        return int(self._tokenizer.encode(prompt).input_ids.shape[1])

    def answer(self, prompt: str, most: int) -> Iterator[str]:
        told: queue.Queue[list[int]] = queue.Queue()
        self._asked.put((prompt, most, told))
        while tokens := told.get():
            yield from (self._tokenizer.decode([token]) for token in tokens)


class Ik:
    """One sequence at a time, with the parts of the wheel's own `generate`."""

    def __init__(self, gguf: str, threads: int) -> None:
        from ik_llama_cpp import IkLlama  # type: ignore[import-not-found]
        from ik_llama_cpp import _ctypes_api as api
        from ik_llama_cpp import _internals as parts

        self._model = IkLlama(gguf, n_ctx=CELLS // SLOTS, n_threads=threads, verbose=False)
        self._api, self._parts, self._lock = api, parts, threading.Lock()

    def size(self, prompt: str) -> int:
        return len(self._model.tokenize(prompt))

    def answer(self, prompt: str, most: int) -> Iterator[str]:
        """The end token is one like others."""
        with self._lock:
            context, tokens = self._model._context, self._model.tokenize(prompt)
            context.kv_cache_clear()
            for at in range(0, len(tokens), context._n_ubatch):
                chunk = tokens[at : at + context._n_ubatch]
                last = at + len(chunk) == len(tokens)
                self._decode(self._parts.make_batch_range(chunk, pos_start=at, logits_last=last))
            for at in range(most):
                token = context.sample(-1, temperature=0.0, top_k=1, top_p=1.0)
                yield self._model.detokenize([token])
                self._decode(self._parts.make_batch_single(token, len(tokens) + at))

    def _decode(self, batch: Any) -> None:
        failed = self._model._context.decode(batch)
        self._api.llama_batch_free(batch)
        if failed:
            raise RuntimeError(f"llama_decode says {failed}")


class Handler(BaseHTTPRequestHandler):
    """The routes."""

    engine: Any
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Ready, since the model is loaded before the server listens."""
        body = json.dumps({"object": "list", "data": [{"id": "bench", "object": "model"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        prompt, count = body["prompt"], 0
        prompt = prompt if isinstance(prompt, str) else prompt[0]
        for text in self.engine.answer(prompt, int(body.get("max_tokens") or 16)):
            count += 1
            self._event({"choices": [{"index": 0, "text": text or " ", "finish_reason": None}]})
        size = self.engine.size(prompt)
        usage = {"prompt_tokens": size, "completion_tokens": count, "total_tokens": size + count}
        ended = [{"index": 0, "text": "", "finish_reason": "length"}]
        self._event({"choices": ended, "usage": usage})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, fields: dict[str, object]) -> None:
        event = {"id": "c", "object": "text_completion", "created": 1, "model": "bench", **fields}
        self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Each line would cost time."""


if __name__ == "__main__":
    name, gguf, port, threads = sys.argv[1:5]
    Handler.engine = (OpenVino if name == "openvino" else Ik)(gguf, int(threads))
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
