"""The choices of one request: which pieces may leave, and in what order.

Rules: the last piece of each choice is kept until the outcome is recorded. With `best_of` the
choices are ranked by the mean log-probability of their tokens, ties by their numbers, and numbered
again at the end. The record holds every generated choice, under its first number.
"""

from appliance.types import Delta, GenerationRequest, TokenLogprob


class _Choice:
    def __init__(self) -> None:
        self.text: list[str] = []
        self.logprobs: list[TokenLogprob] = []
        self.tokens = 0
        self.total = 0.0  # of the log-probabilities of generated tokens
        self.last: Delta | None = None

    def take(self, piece: Delta, *, hold: bool) -> None:
        if piece.text:
            self.text.append(piece.text)
        if hold:
            self.logprobs += piece.logprobs
            if piece.tokens:  # else they are of an echoed prompt
                self.total += sum(entry.logprob or 0.0 for entry in piece.logprobs)
        self.tokens += piece.tokens
        if piece.finish_reason:
            self.last = piece

    @property
    def mean(self) -> float:
        return self.total / self.tokens if self.tokens else 0.0


class Choices:
    """The choices of a request."""

    def __init__(self, request: GenerationRequest) -> None:
        self._request = request
        self._ranked = ranked(request)
        self._choices = [_Choice() for _ in range(request.choices)]

    @property
    def running(self) -> bool:
        return any(choice.last is None for choice in self._choices)

    @property
    def cancelled(self) -> bool:
        return "cancelled" in self._finishes()

    @property
    def finish(self) -> str:
        """Why the choices ended, in their order."""
        return ",".join(self._finishes())

    def _finishes(self) -> list[str]:
        ended = [choice.last for choice in self._choices if choice.last is not None]
        return [piece.finish_reason or "" for piece in ended]

    def take(self, piece: Delta) -> Delta | None:
        """Note a piece; returns it if it may leave now."""
        self._choices[piece.index].take(piece, hold=self._ranked)
        empty = not (piece.text or piece.logprobs or piece.vector)
        return None if piece.finish_reason or self._ranked or empty else piece

    def last(self) -> list[Delta]:
        """The last piece of each choice, once all have ended."""
        if not self._ranked:
            return [choice.last for choice in self._choices if choice.last is not None]
        best = sorted(self._choices, key=lambda choice: -choice.mean)[: self._request.n]
        told = self._request.logprobs is not None
        return [
            Delta(
                "".join(choice.text),
                choice.tokens,
                choice.last.finish_reason if choice.last else None,
                index,
                tuple(choice.logprobs) if told else (),
                stopped=choice.last.stopped if choice.last else "",
            )
            for index, choice in enumerate(best)
        ]

    def contents(self) -> dict[str, bytes]:
        """The texts for the record: `completion`, and `completion-1` … of further choices."""
        return {
            f"completion-{i}" if i else "completion": "".join(choice.text).encode(
                "utf-8", "replace"
            )
            for i, choice in enumerate(self._choices)
        }


def ranked(request: GenerationRequest) -> bool:
    """True if more choices are generated than answered with."""
    return request.choices > request.n
