"""`task release`: from the directory of a task to apps that are answered by it.

Rules:
- The store says which steps are done, so a repeated call goes further, and nothing is done twice.
- Each person signs with the own key, in this process; the server counts who signed, and refuses the
  publisher's approval. Where a signature is missing the command says whose, and stops.
- A gate that did not pass is not repeated: only a person's decision spends a look.
"""

import contextlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import click

from appliance.cli import gate
from appliance.cli.artifact import approved_by, signed_directory
from appliance.cli.connect import admin_client
from appliance.cli.dataset import sealed_here
from appliance.cli.eval import KIND as EVALUATION
from appliance.cli.eval import place
from appliance.cli.job import UNDER_WAY, run_job, watched
from appliance.cli.output import Output, ProgressBar, asked, asks, prints_of_dataset, safe, state
from appliance.cli.pointer import Roles, Signer, point
from appliance.cli.signing import KeyPlace, KeyRing, PlaceOfKey, passphrase_option
from appliance.client import AdminClient
from appliance.datasets import checks, directory, sealing
from appliance.errors import PolicyRefused, Refused, SignatureRefused, StateRefused
from appliance.evals.gate_subject import NONE, baseline_of
from appliance.evals.subject import draft_digest
from appliance.facts import TaskFacts
from appliance.tasks import catalogue
from appliance.tasks.enforcement import check_form
from appliance.text import many, within
from appliance.trust.bytes import ecdsa, names
from appliance.trust.bytes.directory import open_artifact
from appliance.trust.policy.policy import APPROVER, EVALUATOR, PUBLISHER
from appliance.trust.statements.pointer import TaskVersion
from appliance.trust.statements.specification import Specification
from appliance.wire.admin.gates import CERTIFICATES, GATE_PLAN, LEDGER, PlanWanted
from appliance.wire.admin.jobs import JOBS, Job
from appliance.wire.admin.models import MODEL, MODEL_IMPORT, ModelImport
from appliance.wire.admin.pointers import TASK_NAMES, TASK_TARGET
from appliance.wire.admin.results import EvaluationResult, GateResult
from appliance.wire.admin.trust import TRUST

_DIRECTORY: Final = click.Path(exists=True, file_okay=False, path_type=Path)
_SPLIT: Final = "test"
_UNENDED: Final = UNDER_WAY | {"paused"}


@dataclass(frozen=True)
class KeyHolder:
    """A person who signs here; `roles` are the key's, in the trust policy."""

    name: str
    private: ecdsa.SigningKey
    roles: frozenset[str]


@dataclass(frozen=True)
class Missing:
    """Parts that the release waits for.

    Attributes:
        people: whose signature it takes, one of them; empty where a person must decide.
    """

    why: str
    people: tuple[str, ...]
    next: str


@dataclass
class Release:
    """One release, as far as it is.

    Attributes:
        data: the dataset's directory, or the id of one that is in the store.
        task: its id in the store.
        name: that apps use.
        meaning: what all approvals of this call say; None: each is asked for on a terminal.
        done: in words.
    """

    output: Output
    client: AdminClient
    path: Path
    data: str
    task: str
    name: str
    again: str
    people: list[KeyHolder]
    meaning: str | None
    done: list[str] = field(default_factory=list)

    def further(self) -> Missing | None:
        """Do every step that may be done now; None when apps are answered."""
        for step in (
            self._data_stored,
            self._task_stored,
            self._data_approved,
            self._certified,
            self._task_approved,
            self._promoted,
        ):
            if (missing := step()) is not None:
                return missing
        return None

    @property
    def dataset(self) -> str:
        return Path(self.data).name

    def _data_stored(self) -> Missing | None:
        if "/" not in self.data:
            return None
        path = Path(self.data)
        if self._stored(path, self.dataset):
            return self._is_done(f"dataset {self.dataset} is in the store")
        if (publisher := self._with(PUBLISHER)) is None:
            return self._missing(f"dataset {self.dataset} is not signed", PUBLISHER)
        if (found := directory.read(path)).seal is None:
            if wrong := [p.message for p in checks.check(found).problems if p.level == "error"]:
                why = f"dataset {self.dataset} is not sealed: {' '.join(wrong)}"
                return Missing(why, (), f"appliance dataset check {path}")
            _, told, _ = sealed_here(self.client, path)
            for line in told:
                self.output.note(f"  {line}")
            self._is_done(f"dataset {self.dataset}: {' and '.join(sealing.SEALED)} are sealed")
        return self._brought(path, self.dataset, publisher)

    def _task_stored(self) -> Missing | None:
        if self._stored(self.path, self.task):
            return self._is_done(f"task {self.task} is in the store")
        if (publisher := self._with(PUBLISHER)) is None:
            return self._missing(f"task {self.task} is not signed", PUBLISHER)
        return self._brought(self.path, self.task, publisher)

    def _stored(self, path: Path, model_id: str) -> bool:
        """As the directory is signed."""
        root = _root(path)
        try:
            held = self.client.call(MODEL, model_id=model_id)
        except Refused as error:
            if error.code != "unknown_model_id":
                raise
            return False
        return root == held.digest and held.state not in ("refused", "quarantined")

    def _brought(self, path: Path, model_id: str, publisher: KeyHolder) -> Missing | None:
        if _root(path) is None:
            signed_directory(path, publisher.private)
        try:
            with ProgressBar() as progress:
                held = self.client.call(
                    MODEL_IMPORT,
                    ModelImport.of(path=str(path.absolute()), id=model_id),
                    report=progress,
                )
        except Refused as error:
            if error.code != "model_id_taken":
                raise
            why = "count up `version` of a task, give a dataset's directory another name"
            raise StateRefused(error.code, f"{model_id} holds other bytes: {why}.") from error
        if held.code:
            raise StateRefused(held.code, held.message)
        return self._is_done(f"{model_id}: {publisher.name} signed it, and it is in the store")

    def _data_approved(self) -> Missing | None:
        return self._approved(self.dataset)

    def _task_approved(self) -> Missing | None:
        return self._approved(self.task)

    def _approved(self, model_id: str) -> Missing | None:
        """Add those of the people here; None once they are enough, else who is missing."""
        held = self.client.call(MODEL, model_id=model_id)
        for person in self.people:
            has = any(given.name == person.name for given in held.approvals)
            if held.state != "approved" and APPROVER in person.roles and not has:
                said = self._said(person.name, model_id)
                approved_by(self.output, self.client, model_id, person.name, person.private, said)
                held = self.client.call(MODEL, model_id=model_id)
        if held.state == "approved":
            signed = ", ".join(each.name for each in held.approvals)
            return self._is_done(f"{model_id} is approved by {signed}")
        given = [each.name for each in held.approvals]
        why = f"{model_id} has {len(given)} of {many(held.approvals_needed, 'approval')}"
        return self._missing(why, APPROVER, without=given)

    def _certified(self) -> Missing | None:
        roles = self.client.call(TRUST).roles
        if EVALUATOR not in roles:
            return self._is_done("no gate: the trust policy lists no evaluator")
        held = self.client.call(MODEL, model_id=self.task)
        kept = self.client.call(CERTIFICATES).certificates
        if held.state == "approved" or any(
            each.task_digest == held.digest and each.usable for each in kept
        ):
            return self._is_done(f"{self.task} has a certificate")
        job = self._job(held.digest or "")
        if job is None:
            may: tuple[str, ...] = (PUBLISHER, APPROVER)
            if EVALUATOR in roles[APPROVER].distinct_from:  # its specifier may not approve
                may = (PUBLISHER,)
            person = next(filter(None, map(self._with, may)), None)
            if person is None:
                return self._missing(f"the gate of {self.task} is not specified", *may)
            live = self._live()
            plan = self.client.call(
                GATE_PLAN,
                PlanWanted.of(task=self.task, dataset=self.dataset, split=_SPLIT, incumbent=live),
            )
            if not plan.looks_left:
                why = f"no look at {self.dataset} is left for {self.task}: it takes fresh groups"
                return Missing(why, (), "appliance dataset ledger")
            self._measured()
            terms = gate.declared(plan, person.name)
            signed = gate.signed(self.output, terms, plan, person.private)
            found = run_job(self.output, self.client, gate.KIND, signed)
            job = found.id
        else:
            found = watched(self.client, job)
        result = found.came_to(GateResult)
        if result is not None and result.verdict == "pass":
            return self._is_done(result.answer)
        if found.state in ("paused", "failed"):
            verb = "resume" if found.state == "paused" else "show"
            message = f"gate {job} is {found.state}: {found.message}"
            return Missing(message, (), f"appliance job {verb} {job}")
        why = f"gate {job} is {found.state}" if result is None else result.answer
        return Missing(why, (), f"appliance eval report {job} --out gate.html")

    def _measured(self) -> None:
        """Say the quality on `dev`, which no verdict tells."""
        again = f"appliance eval run {self.path} --data {self.data}"
        if _checked(self.path).needed:
            self.output.note(f"its quality on dev: {safe(again)}")
            return
        found = run_job(
            self.output,
            self.client,
            EVALUATION,
            {"task": str(self.path.resolve()), "data": self.data, "baselines": False},
        )
        if (result := found.came_to(EvaluationResult)) is None:
            self.output.note(f"dev is not measured: {safe(found.message)}")
            return
        (row,) = result.candidates
        self._is_done(
            f"{result.metric} on dev: {row.quality:.3f} ({within(row.interval)}),"
            f" {row.wrong} of {many(result.items, 'item')} wrong"
        )

    def _job(self, digest: str) -> int | None:
        """The gate of this version that is under way, or that looked; None where none did."""
        wanted = (self.task, digest, self.dataset, _SPLIT)
        for each in self.client.call(JOBS, count=1_000).jobs:
            if each.kind == gate.KIND and each.state in _UNENDED:
                with contextlib.suppress(Refused, KeyError):  # of another release
                    if _looks_at(each) == wanted:
                        return each.id
        mine = [
            look.job
            for part in self.client.call(LEDGER, dataset=self.dataset).splits
            if part.split == _SPLIT
            for look in part.looks
            if (look.task, look.task_digest) == (self.task, digest) and look.verdict != "unspent"
        ]
        return mine[-1] if mine else None

    def _live(self) -> str | None:
        """The version that the new one must not be worse than."""
        for each in self.client.call(TASK_NAMES).names:
            if each.name == self.name and each.pointers:
                return each.pointers[0].live.task
        return None

    def _promoted(self) -> Missing | None:
        if self._live() == self.task:
            return self._is_done(f"{self.name} is answered by {self.task}")
        if (approver := self._with(APPROVER)) is None:
            return self._missing(f"{self.name} does not point at {self.task}", APPROVER)
        wanted = self.client.call(TASK_TARGET, name=self.name, task=self.task)
        signer = Signer(approver.name, approver.private, self._said(approver.name, self.name))
        point(self.client, wanted, Roles(TaskVersion(wanted.task, wanted.digest)), signer)
        return self._is_done(f"{self.name} is answered by {self.task}")

    def _said(self, person: str, of: str) -> str:
        return asked(self.meaning, f"What {safe(person)}'s signature of {of} says (--meaning)")

    def _with(self, role: str) -> KeyHolder | None:
        return next((person for person in self.people if role in person.roles), None)

    def _is_done(self, what: str) -> Missing | None:
        if what not in self.done:
            self.done.append(what)
            self.output.note(f"{state('done')} {safe(what)}")
        return None

    def _missing(self, why: str, *roles: str, without: list[str] | None = None) -> Missing:
        policy = self.client.call(TRUST).roles
        holders = [
            each.person
            for role in roles
            for each in policy[role].holders
            if not each.revoked and each.person not in (without or ())
        ]
        return Missing(why, tuple(dict.fromkeys(holders)), self.again)


@click.command()
@click.argument("path", metavar="DIR", type=_DIRECTORY)
@click.option("--data", "dataset", metavar="DATASET", callback=place, required=True,
              help="Dataset of labelled items: a path or an id.")  # fmt: skip
@click.option("--as", "who", metavar="NAME", multiple=True,
              help="Signer, as in the policy; may be repeated.")  # fmt: skip
@click.option("--key", "keys", type=PlaceOfKey(), multiple=True, metavar="KEY",
              help="That person's private key. One for each --as: a file, or pkcs11:…")  # fmt: skip
@passphrase_option
@click.option("--meaning", metavar="TEXT", help="Meaning of the approvals.")
@click.option("--id", "task_id", metavar="ID", help="In the store; by default name and version.")
@prints_of_dataset
def release(
    output: Output,
    /,
    data: Path,
    path: Path,
    dataset: str,
    who: tuple[str, ...],
    keys: tuple[KeyPlace, ...],
    passphrase_file: Path | None,
    meaning: str | None,
    task_id: str | None,
) -> None:
    """Sign, import, gate and promote a task.

    It goes as far as the signers may, and says who is next. Called again, it continues. Exit 0 only
    if apps are answered.
    """
    if len(who) != len(keys):
        raise click.UsageError("Each --as has its --key.")
    task = _checked(path)
    ring = KeyRing(passphrase_file, data)
    opened = [ring.open(key) for key in keys]
    with admin_client(data, needs_server=True) as client:
        people = [_holder(client, name, key) for name, key in zip(who, opened, strict=True)]
        stored = task_id or f"{task.name}-{task.version}"
        again = (
            f"appliance task release {path} --data {dataset} --as NAME --key FILE --meaning TEXT"
        )
        one = Release(output, client, path, dataset, stored, task.name, again, people, meaning)
        missing = one.further()
        while missing is not None and missing.people and asks():
            output.note(f"{state('waiting')} {safe(missing.why)}")
            name = click.prompt(
                f"Signers now ({', '.join(missing.people)}; empty: later)",
                default="", show_default=False, err=True,
            )  # fmt: skip
            if not name:
                break
            key = click.prompt("That person's private key", type=PlaceOfKey(), err=True)
            one.people.append(_holder(client, name, ring.open(key)))
            missing = one.further()
    _tell(output, one, missing)
    output.require(missing is None)


def _tell(output: Output, one: Release, missing: Missing | None) -> None:
    document = {"task": one.task, "name": one.name, "dataset": one.dataset, "done": one.done}
    if missing is None:
        output.data({**document, "state": "serves", "missing": None}, [
            f"apps are answered under the name {safe(one.name)}"
        ])  # fmt: skip
        output.note(f"  appliance key new APP --models {safe(one.name)}")
        return
    lines = [f"{state('waiting')} {safe(missing.why)}"]
    if missing.people:
        lines.append(f"next: {' or '.join(map(safe, missing.people))}: run it again")
    output.data({**document, "state": "waits", "missing": asdict(missing)}, lines)
    output.note(f"  {safe(missing.next)}")


def _checked(path: Path) -> TaskFacts:
    """Read a task whole before anybody signs.

    Raises:
        TaskRefused: its faults.
        PolicyRefused: `floor_missing`, which a gate would find later.
    """
    with open_artifact(path) as artifact:
        found = catalogue.vet(artifact).kept()
        check_form(catalogue.read_artifact(artifact))
    if baseline_of(found) == NONE and not found.floor_micros:
        raise PolicyRefused(
            "floor_missing", f"{path.name} is compared with nothing, and has no [gate] floor."
        )
    return found


def _holder(client: AdminClient, name: str, private: ecdsa.SigningKey) -> KeyHolder:
    """Find the signer, with the roles of the key; raises UsageError for one that has none."""
    hint = ecdsa.hint(private.public_key())
    roles = frozenset(
        role
        for role, found in client.call(TRUST).roles.items()
        for each in found.holders
        if (each.person, each.key) == (name, hint) and not each.revoked
    )
    if not roles:
        raise click.UsageError(f"The trust policy has no role for {name} with this key.")
    return KeyHolder(name, private, roles)


def _looks_at(job: Job) -> tuple[str, str, str, str]:
    terms = Specification.open(str(job.params["specification"]).encode()).said
    return terms.task, terms.task_digest, terms.dataset, terms.split


def _root(path: Path) -> str | None:
    """None where it is still to be signed."""
    with open_artifact(path) as artifact:
        if names.SIGNATURE_FILE not in artifact.sizes:
            return None
        try:
            return draft_digest(artifact)
        except SignatureRefused:
            return None
