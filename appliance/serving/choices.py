"""The choices of one request, on the server's side: from the engine's rows to pieces of an answer.

Rules: the last piece of each choice is kept until `last`, when the outcome is recorded. With
`best_of` nothing leaves before the end: the choices are ranked by the mean log-probability of
their tokens, ties in the order of their numbers, and numbered again. What is recorded is every
choice that was generated, under the number that it was generated with.
"""

from appliance.engine.protocol import Row
from appliance.types import Delta, GenerationRequest, TokenLogprob


class _Choice:
    """What has come of one choice."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.logprobs: list[TokenLogprob] = []
        self.tokens = 0
        self.total = 0.0  # of the log-probabilities of generated tokens
        self.last: Row | None = None

    def take(self, row: Row, *, hold: bool) -> None:
        if row.text:
            self.text.append(row.text)
        if hold:
            self.logprobs += row.logprobs
            if row.tokens:  # else they are of an echoed prompt
                self.total += sum(entry.logprob or 0.0 for entry in row.logprobs)
        self.tokens += row.tokens
        if row.finish:
            self.last = row

    @property
    def mean(self) -> float:
        """Mean log-probability of its tokens, 0 for none."""
        return self.total / self.tokens if self.tokens else 0.0


class Choices:
    """The choices of a request.

    Args:
        request: what was asked for.
    """

    def __init__(self, request: GenerationRequest) -> None:
        self._request = request
        self._ranked = ranked(request)
        self._choices = [_Choice() for _ in range(request.choices)]

    @property
    def running(self) -> bool:
        """Whether a choice has not ended."""
        return any(choice.last is None for choice in self._choices)

    @property
    def cancelled(self) -> bool:
        """Whether a choice was cancelled."""
        return "cancelled" in self._finishes()

    @property
    def finish(self) -> str:
        """Why the choices ended, in their order."""
        return ",".join(self._finishes())

    def _finishes(self) -> list[str]:
        return [choice.last.finish or "" for choice in self._choices if choice.last is not None]

    def take(self, row: Row, index: int) -> Delta | None:
        """Note a row of the choice with this number; what of it may leave now."""
        self._choices[index].take(row, hold=self._ranked)
        if row.finish or self._ranked or not (row.text or row.logprobs or row.vector):
            return None
        return Delta(row.text, row.tokens, None, index, row.logprobs, row.vector)

    def last(self) -> list[Delta]:
        """The last piece of each choice of the answer, once all have ended."""
        if not self._ranked:
            return [
                Delta(row.text, row.tokens, row.finish, index, row.logprobs, row.vector)
                for index, choice in enumerate(self._choices)
                if (row := choice.last) is not None
            ]
        best = sorted(self._choices, key=lambda choice: -choice.mean)[: self._request.n]
        told = self._request.logprobs is not None
        return [
            Delta(
                "".join(choice.text),
                choice.tokens,
                choice.last.finish if choice.last else None,
                index,
                tuple(choice.logprobs) if told else (),
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
    """Whether more choices are generated than answered with."""
    return request.choices > request.n
