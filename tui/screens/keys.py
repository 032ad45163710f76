"""Keys and quotas: who may call, how much, and what was used."""

from collections import deque
from typing import Any, ClassVar

from textual.content import Content

from appliance.errors import BadRequest
from appliance.types import JsonValue, Limits
from appliance.wire.admin import keys as wire
from appliance.wire.admin.keys import Key, KeyCreate, KeyLimits, KeyList, NewKey
from tui.change import Answers, Blank, Change, asking, name_blank
from tui.desk import Desk
from tui.keys import Act
from tui.screens.listing import DetailPage
from tui.view import keys as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows
from tui.widgets.secret_notice import Tell

_MINUTE = 60.0


class KeysPage(DetailPage[Key]):
    """The API keys of apps."""

    TITLE: ClassVar[str] = "Keys"
    COMMAND: ClassVar[str] = "key show"
    AT = wire.KEYS
    FIRST: ClassVar[str] = "create"
    ACTS: ClassVar[tuple[Act, ...]] = (
        Act("n", "create", "New key", wire.KEY_CREATE.role, item=False),
        Act("l", "limit", "Limits", wire.KEY_LIMIT.role),
        Act("o", "rotate", "Rotate", wire.KEY_ROTATE.role),
        Act("x", "revoke", "Revoke", wire.KEY_REVOKE.role),
    )

    def __init__(self, desk: Desk) -> None:
        empty = "No keys. Press enter to make one."
        rows = Rows("apps", view.COLUMNS, lambda key: key.id, self._cells, empty)
        super().__init__(desk, rows, Part("key", "KEY"))
        self._seen: deque[tuple[float, dict[str, tuple[int, int]]]] = deque(maxlen=120)

    def came(self, answer: KeyList) -> None:
        self.found = answer.keys
        used = {key.id: (key.usage.requests, view.tokens(key)) for key in answer.keys}
        now = self.desk.clock()
        self._seen.append((now, used))
        while self._seen and now - self._seen[0][0] > _MINUTE:
            self._seen.popleft()

    def words(self, item: Key) -> str:
        return f"{super().words(item)} {' '.join(item.models)}"

    def open(self, item: Key) -> None:
        self.post_message(self.Go("Audit", f"key={item.id}"))

    def said(self, item: Key, width: int) -> list[Content]:
        return view.detail(item, self._minute(item.id), width, ascii_only=self.desk.basic)

    def _minute(self, key_id: str) -> tuple[int, int]:
        if not self._seen:
            return 0, 0
        newest = self._seen[-1][1].get(key_id, (0, 0))
        oldest = self._seen[0][1].get(key_id, newest)
        return max(0, newest[0] - oldest[0]), max(0, newest[1] - oldest[1])

    def _cells(self, key: Key) -> Any:
        most = max((view.tokens(other) for other in self.found), default=0)
        return view.row(key, most, ascii_only=self.desk.basic)

    def refuses(self, act: str, item: Key | None) -> str:
        if item is not None and item.revoked:
            return f"{item.name} is revoked"
        held = item.certificate if item is not None and act == "rotate" else ""
        return "it has a certificate, no secret" if held else ""

    def make(self, act: str, item: Key | None) -> Change | None:
        if item is None:
            return self._create()
        changes = {"limit": self._limit, "rotate": self._rotate, "revoke": self._revoke}
        return changes[act](item)

    def _create(self) -> Change:
        return asking(
            self.desk.client,
            wire.KEY_CREATE,
            "Make an API key",
            "admin: key_create with name and limits, by you",
            lambda made: made,
            request=_wanted,
            blanks=(
                Blank("name", "Name of the app", needed=True, help="line-3-assistant"),
                Blank(
                    "models",
                    "Models that it may use",
                    help="empty: all, at a site tasks only; else ID, ID",
                ),
                Blank("expires", "Expires", help="empty: never; else 2027-12-31"),
                *_limit_blanks(None),
            ),
            then=self._show_secret,
        )

    def _limit(self, key: Key, *, back: bool = False) -> Change:
        """Or back those that it had when this was asked for."""
        return asking(
            self.desk.client,
            wire.KEY_LIMIT,
            f"Give {key.name} {'its former' if back else 'other'} limits",
            "admin: key_limit with the limits, by you",
            lambda _: f"{key.name} has new limits",
            request=lambda answers: KeyLimits.of(**_limits(answers)),
            blanks=_limit_blanks(key),
            undo=None if back else lambda: self._limit(key, back=True),
            key_id=key.id,
        )

    def _rotate(self, key: Key) -> Change:
        return asking(
            self.desk.client,
            wire.KEY_ROTATE,
            f"Give {key.name} a new secret",
            "admin: key_rotate, by you",
            lambda made: made,
            request=lambda a: wire.KeyRotate.of(overlap=_number(a, "overlap") or 0),
            blanks=(Blank("overlap", "Old secret stays good, seconds", "0"),),
            then=self._show_secret,
            key_id=key.id,
        )

    def _revoke(self, key: Key) -> Change:
        return asking(
            self.desk.client,
            wire.KEY_REVOKE,
            f"Revoke the key of {key.name}",
            f"admin: key_revoke {key.id}, by you",
            lambda _: f"{key.name} is revoked",
            blanks=(name_blank(key.name),),
            explain=("Its running answers end with an error within a second.",),
            lasting=True,
            key_id=key.id,
        )

    def _show_secret(self, made: object) -> None:
        if isinstance(made, NewKey):
            url = self.desk.status.url if self.desk.status else ""
            self.app.push_screen(
                Tell(view.secret(made, url), title="NEW SECRET", secret=made.secret)
            )


def _wanted(answers: Answers) -> KeyCreate:
    models = [name.strip() for name in answers["models"].split(",") if name.strip()]
    expires = answers["expires"] or None
    return KeyCreate.of(name=answers["name"], models=models, expires=expires, **_limits(answers))


def _limit_blanks(key: Key | None) -> tuple[Blank, ...]:
    limits = key.limits if key else Limits()

    def shown(value: int | None) -> str:
        return "" if value is None else str(value)

    return (
        Blank("rpm", "Requests per minute", shown(limits.rpm), help="empty: no limit"),
        Blank("tpm", "Tokens per minute", shown(limits.tpm), help="empty: no limit"),
        Blank(
            "concurrency", "Answers at once", shown(limits.concurrency),
            help="empty: no limit",
        ),
        Blank("weight", "Weight on a busy model, 1-1000", shown(limits.weight)),
        Blank(
            "priority", "Priority: interactive or batch",
            limits.priority,
        ),
    )  # fmt: skip


def _limits(answers: Answers) -> dict[str, JsonValue]:
    numbers = {name: _number(answers, name) for name in ("rpm", "tpm", "concurrency")}
    weight = _number(answers, "weight") or 1
    return {**numbers, "weight": weight, "priority": answers["priority"] or "interactive"}


def _number(answers: Answers, name: str) -> int | None:
    text = answers.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise BadRequest("invalid_value", f"{name} must be a number.", param=name)
    return int(text)
