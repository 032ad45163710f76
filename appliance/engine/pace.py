"""Prompt tokens that a step may carry beside running answers. Pure.

Rules: while answers run, a step is planned to take no longer than the target gap between two
tokens, or half as long again as their own tokens take, whichever is more. While none run, a step
stays short enough for arrivals and cancellations, and at half the gap where several apps come and
go or with batch work alone, but several times its fixed part. Costs are learned: a fixed part and
one for each token, by least squares that forget, and by itself up to `_FEW` tokens.
"""

_FORGET = 0.97  # weight of a step for each later one
SHARE = 1.5
_ALONE_S = 0.25  # planned length of a step that only prompts are in
_LEAST = 8
_FIXED = 8  # times its fixed part: a step that only prompts are in
_FIXED_SEVERAL = 4
_FEW = 8


class Pace:
    """The cost of steps, and the budget.

    Args:
        most: prompt tokens that a step can hold.
        gap_s: target gap between two tokens of an answer, in seconds.
    """

    def __init__(self, most: int, gap_s: float) -> None:
        self.most = most
        self.gap_s = gap_s
        self._n = self._x = self._y = self._xx = self._xy = 0.0
        self._few: dict[int, float] = {}
        self.last_s = 0.0  # seconds of the last step

    def record(self, tokens: int, seconds: float) -> None:
        self.last_s = seconds
        self._n = self._n * _FORGET + 1
        self._x = self._x * _FORGET + tokens
        self._y = self._y * _FORGET + seconds
        self._xx = self._xx * _FORGET + tokens * tokens
        self._xy = self._xy * _FORGET + tokens * seconds
        if tokens <= _FEW:
            before = self._few.get(tokens, seconds)
            self._few[tokens] = _FORGET * before + (1 - _FORGET) * seconds

    def cost(self, tokens: int) -> float:
        """Expected seconds of a step; 0 if unknown."""
        fixed, each = self._line()
        return self._few.get(tokens, fixed + each * tokens)

    def within(self, seconds: float) -> int:
        """Tokens of a step of this many seconds; `most` if unknown."""
        fixed, each = self._line()
        if each <= 0:
            return self.most
        many = int((seconds - fixed) / each + 1e-6)
        if many > _FEW:
            return many
        return max((n for n in range(1, _FEW + 1) if self.cost(n) <= seconds), default=0)

    def budget(
        self,
        decoded: int,
        groups: int = 1,
        dearer: float = SHARE,
        *,
        several: bool = False,
        hurried: bool = True,
    ) -> int:
        """Prompt tokens for a step, beside `decoded` ones of running answers.

        Args:
            groups: how many steps share the gap, since each has one adapter.
            dearer: the factor of the answers' own time that it may take at least.
            several: another app may ask at any moment.
            hurried: somebody waits for the answers.
        """
        fixed, each = self._line()
        if each <= 0:
            return self.most
        own = fixed + each * decoded
        least = dearer * own
        if not decoded and groups == 1:
            least = _FIXED_SEVERAL * own if several else max(_ALONE_S, _FIXED * own)
        gap_s = self.gap_s / groups / (2 if several and not (decoded and hurried) else 1)
        planned = max(gap_s, least)
        return min(self.most, max(_LEAST, int((planned - own) / each)))

    def _line(self) -> tuple[float, float]:
        """Seconds of a step without tokens, and seconds for each token."""
        if not self._x:
            return 0.0, 0.0
        spread = self._n * self._xx - self._x * self._x
        if spread > 1e-6 * self._xx * self._n:
            each = (self._n * self._xy - self._x * self._y) / spread
            fixed = (self._y - each * self._x) / self._n
            if each > 0 and fixed >= 0:
                return fixed, each
        return 0.0, self._y / self._x  # all of a size, or a disturbed host: no fixed part
