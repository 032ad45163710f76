"""Verification of keys: which key may sign which head. Pure: rows in, findings out.

Rules: for each range of sizes only its own epoch's key counts. A head over the handover, signed by
the old and the new key, closes an epoch; a missing one is a finding. After a missing or false
handover no later key is known: one finding, and later heads prove nothing.
"""

from typing import Any

from appliance.audit.checkpoint import Checkpoint, verify
from appliance.audit.handover import KIND, Epoch, Handover
from appliance.audit.verification.findings import Findings
from appliance.errors import AuditRefused


class EpochCheck:
    """Epochs as the entries tell them, and the heads of each."""

    def __init__(self, findings: Findings, number: int, epoch: Epoch | None) -> None:
        """Begin in the epoch of this number; None when its key is not known."""
        self._found, self._number, self._epoch = findings, number, epoch
        self._closing: Epoch | None = None
        self._odd: int | None = None  # what the entry before claimed, if not our number
        self._gap = False

    @property
    def settled(self) -> int | None:
        """The epoch that the next entry must name; None when nothing may be taken for granted."""
        return None if self._gap or self._odd is not None else self._number

    @property
    def standing(self) -> Epoch | None:
        """The epoch, if its key is known and nothing about it is in doubt."""
        doubt = self._gap or self._odd is not None or self._closing is not None
        return None if doubt else self._epoch

    def missing(self) -> None:
        self._gap = True

    def entry(self, seq: int, body: dict[str, Any]) -> None:
        claimed = body["epoch"]
        if claimed == self._number:
            self._odd = None
        elif self._gap or claimed == self._odd:
            self._lose(claimed)
        else:
            self._odd = claimed
            message = f"Entry {seq} names epoch {claimed} in epoch {self._number}."
            self._found.entry(seq, "epoch_invalid", message)
        self._gap = False
        if body["kind"] == KIND:
            self._handover(seq, body)

    def head(self, size: int, note: bytes) -> Checkpoint | None:
        """The checkpoint of a tree that has just reached `size` entries, if its key signed it."""
        closing, self._closing = self._closing, None
        if self._epoch is None:
            return None
        try:
            if closing is not None and size == self._epoch.start:
                verify(note, closing.key)
            return verify(note, self._epoch.key)
        except AuditRefused as error:
            self._found.add(size - 1, "checkpoint_invalid", f"Head of size {size}: {error.message}")
            return None
        finally:
            if closing is not None and size != self._epoch.start:
                at = self._epoch.start - 1
                message = f"Epoch {closing.number} was never closed by its own key."
                self._found.add(at, "epoch_unclosed", message)

    def _handover(self, seq: int, body: dict[str, Any]) -> None:
        old = self._epoch
        if old is not None:
            try:
                self._epoch = old.after(Handover.of(body))
                self._closing, self._number = old, self._epoch.number
                return
            except AuditRefused as error:
                self._found.entry(seq, "handover_invalid", f"Entry {seq}: {error.message}")
        self._lose(self._number + 1)

    def _lose(self, number: int) -> None:
        self._number, self._odd = number, None
        self._epoch = self._closing = None
