"""Common steps of every tour: commands that are shown, an app, the gate, the proof at the end.

Rules: every step is a real command, printed with its reason and its outcome; a page rests on the
answer of a result that the log names; everything lies in one directory, which is made new.
"""

import html
import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from appliance import __version__
from appliance.clock import SystemClock, iso
from appliance.reports.page import Fact, Figure, Links, Listing, ReportPage, Section, render
from examples import demo
from examples.demo import DemoError, say

_MARK: Final = ".made-by-the-tour"
_WIDTH: Final = 100
_FIGURE: Final = re.compile(
    r'<figure><div class="scroll">(.*?)</div><figcaption>(.*?)</figcaption>', re.DOTALL
)


APP: Final = '''\
"""An app: it knows the address, a key and the name of the task, and nothing of models."""

import json
import sys

from openai import APIStatusError, OpenAI

address, key, task, *orders = json.load(sys.stdin)
client = OpenAI(base_url=address, api_key=key)
for order, user in orders:
    try:
        raw = client.chat.completions.with_raw_response.create(
            model=task, messages=[{"role": "user", "content": order}], user=user
        )
    except APIStatusError as error:
        if error.code not in ("task_deferred", "task_queued"):
            raise
        print(json.dumps({"asked": order, "answer": None, "about": None, "receipt": None}))
        continue
    answer = raw.parse()
    told = {
        "asked": order,
        "answer": answer.choices[0].message.content,
        "about": answer.model_extra["x_appliance"],
        "receipt": raw.headers["x-appliance-receipt"],
    }
    print(json.dumps(told))
'''


@dataclass(frozen=True)
class Report:
    """A page, its title, and the result that it rests on."""

    file: str
    title: str
    result: Path

    @property
    def found(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.result.read_text(encoding="utf-8"))
        return found

    @property
    def answer(self) -> str:
        """The result in a sentence."""
        return str(self.found["answer"])

    @property
    def figure(self) -> Figure | None:
        """The first picture of the page, as `reports.page` writes it."""
        found = _FIGURE.search(self.result.with_name(self.file).read_text(encoding="utf-8"))
        return None if found is None else Figure(found[1], html.unescape(found[2]))


@dataclass(frozen=True)
class Decision:
    """What a calibration decided.

    Attributes:
        title: what it is about.
        report: of the calibration.
        picture: the page whose picture shows why.
    """

    title: str
    report: Report
    picture: Report

    @property
    def certified(self) -> bool:
        """The first stage may answer alone."""
        return bool(self.report.found["certificate"])

    @property
    def fact(self) -> Fact:
        """The decision in figures."""
        found = self.report.found
        said = f"{found['groups']} groups"
        if self.certified:
            said = f"{found['coverage']:.0%} answered, at most {found['alpha']:.0%} wrong; {said}"
        return Fact(self.title.lower(), "yes" if self.certified else "no", said)


@dataclass
class Tour:
    """State that the stations hand on.

    Attributes:
        limit: how many items of `dev` are asked; 0 for all.
        items: id of the dataset.
        notices: the licence set; None where the tour has none.
        decisions: that the index begins with.
        receipt: number of the log's entry of the last answer.
        certificates: of the gates: the job of each, and the certificate that it signed.
        verified: the commands with which the auditor's programs verified it all.
    """

    directory: Path
    examples: Path
    gguf: Path
    limit: int = 0
    items: str = "orders"
    notices: Path | None = None
    port: int = 0
    reports: list[Report] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    receipt: int = 0
    certificates: list[tuple[int, str]] = field(default_factory=list)
    verified: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def dataset(self) -> Path:
        return self.directory / self.items

    def task(self, name: str) -> Path:
        """The directory of a version of the task."""
        return self.directory / name

    def key(self, name: str) -> str:
        """The file of a private key of the lab."""
        return str(self.data / "keys" / "lab" / f"{name}.pem")

    def run(self, *arguments: str) -> Any:
        """One command, shown; its JSON document. Raises DemoError."""
        return demo.command(self.data, *arguments)

    def judged(self, *arguments: str) -> Any:
        """One command that may say no, shown; its JSON document. Raises DemoError."""
        found = demo.command(self.data, *arguments, found=1)
        if "verdict" not in found:
            raise DemoError(f"{found.get('code')}: {found.get('message')}")
        return found

    def refused(self, *arguments: str) -> str:
        """One command that must be refused, shown; the code. Raises DemoError."""
        return demo.refusal(self.data, *arguments)

    def approve(self, name: str, meaning: str) -> None:
        """Two people sign what they approve, and why."""
        state = ""
        for person in ("approver-1", "approver-2"):
            done = self.run(
                *("model", "approve", name, "--as", person, "--key", self.key(person)),
                *("--meaning", meaning),
            )
            state = done["state"]
        told(f"{name} is {state}: two different people signed")


def why(text: str) -> None:
    """The reason of the next commands."""
    say("")
    for line in textwrap.wrap(text, _WIDTH - 2):
        say(f"# {line}")


def told(text: str) -> None:
    """What came of a command."""
    for line in textwrap.wrap(text, _WIDTH - 2):
        say(f"  {line}")


def read_items(path: Path) -> list[dict[str, Any]]:
    """The items of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_items(path: Path, items: list[dict[str, Any]]) -> None:
    """Write items as JSON lines."""
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")


def sealed_dataset(tour: Tour, path: Path, items: list[dict[str, Any]], meaning: str) -> None:
    """A dataset that is sealed, signed, imported and approved."""
    source = path.with_suffix(".jsonl")
    write_items(source, items)
    tour.run("dataset", "new", str(path), "--from", str(source), "--by", "given", "--drop-seen")
    tour.run("dataset", "seal", str(path))
    tour.run("dataset", "sign", str(path), "--key", tour.key("publisher"))
    tour.run("dataset", "import", str(path), "--id", path.name)
    tour.approve(path.name, meaning)


def promote(tour: Tour, name: str, version: str) -> None:
    """Point the name of the apps at a version."""
    live = tour.run(
        *("task", "promote", name, version, "--reason", "certificate read"),
        *("--as", "approver-1", "--key", tour.key("approver-1")),
    )
    told(f"{live['name']} is answered by {live['pointers'][0]['live']['task']}")


def app(
    tour: Tour,
    name: str,
    task: str,
    texts: list[str],
    groups: Sequence[str] = (),
    stages: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """With a key for one task. Raises DemoError.

    Args:
        groups: what each text belongs to; without it the app's name.
        stages: of a route, which its key must open, too.
    """
    asked = list(zip(texts, groups or [name] * len(texts), strict=True))
    key = tour.run("key", "new", name, "--models", ",".join((task, *stages)))
    program = tour.directory / "app.py"
    program.write_text(APP, encoding="utf-8")
    say(f"$ python {program}")
    done = subprocess.run(
        [sys.executable, str(program)],
        input=json.dumps([f"http://127.0.0.1:{tour.port}/v1", key["secret"], task, *asked]),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode or len(answers) != len(texts):
        raise DemoError(f"the app got {len(answers)} of {len(texts)} answers")
    answered = [answer for answer in answers if answer["receipt"]]
    if not answered:
        raise DemoError("the app got no answer")
    tour.receipt = int(answered[-1]["receipt"].split()[0])
    return answers


def certify(tour: Tour, task: str, dataset: str, file: str, *options: str) -> None:
    """A look of the gate that the tour needs to be passed. Raises DemoError."""
    verdict = judge(tour, task, dataset, file, *options)
    if verdict != "pass":
        raise DemoError(f"the gate says {verdict} of {task}")


def judge(tour: Tour, task: str, dataset: str, file: str, *options: str) -> str:
    """One look of the gate, and its report; the verdict, which may be fail or underpowered."""
    found = tour.judged(
        *("eval", "gate", task, "--data", dataset, *options),
        *("--as", "publisher", "--key", tour.key("publisher"), "--directory", str(tour.data)),
    )
    low, high = (f"{limit * 100:+.0f}" for limit in found["interval"])
    told(
        f"{found['verdict']}: {low} to {high} points on {found['groups']} groups; "
        f"{found['looks_left']} looks are left"
    )
    if found["groups_needed"]:
        told(f"about {found['groups_needed']} fresh groups would tell")
    if found["advice"] is not None:
        told(f"logistic regression, fitted to as many items, reaches {found['advice']:.0%} there")
    page = tour.directory / file
    tour.run("eval", "report", str(found["id"]), "--out", str(page))
    keep(tour, page, f"Gate {found['id']}", found["id"])
    if found["certificate"]:
        tour.certificates.append((found["id"], found["certificate"]))
    return str(found["verdict"])


def evaluated(tour: Tour, found: dict[str, Any]) -> Report:
    """What each candidate of an evaluation reaches, and its page."""
    for row in sorted(found["candidates"], key=lambda row: -row["quality"]):
        low, high = row["interval"]
        told(
            f"{row['name']:<30} {row['quality']:.3f}  ({low:.3f} to {high:.3f})  "
            f"{row['documents_s']:.3g} documents/s"
        )
    told(found["answer"])
    page = tour.directory / "evaluation.html"
    tour.run("eval", "report", str(found["id"]), "--out", str(page))
    return keep(tour, page, f"Evaluation {found['id']}", found["id"])


def keep(tour: Tour, page: Path, title: str, job: int) -> Report:
    """A page for the index, and the result that it shows."""
    result = page.with_suffix(".json")
    tour.run("job", "result", str(job), "--out", str(result))
    tour.reports.append(Report(page.name, title, result))
    return tour.reports[-1]


def calibrate(tour: Tour, route: str, text: str, dataset: str, title: str) -> tuple[Any, Report]:
    """Sign, import, approve and calibrate a route from its definition; the finding and its page."""
    tour.task(route).mkdir()
    (tour.task(route) / "route.toml").write_text(text, encoding="utf-8")
    tour.run("route", "sign", str(tour.task(route)), "--key", tour.key("publisher"))
    tour.run("route", "import", str(tour.task(route)), "--id", route)
    tour.approve(route, "stages read")
    found = tour.judged(
        *("route", "calibrate", route, "--data", dataset),
        *("--as", "publisher", "--key", tour.key("publisher"), "--directory", str(tour.data)),
    )
    told(found["answer"])
    page = tour.directory / f"{route}.html"
    tour.run("route", "report", route, "--out", str(page))
    return found, keep(tour, page, title, found["id"])


def verify(tour: Tour) -> None:
    """Everything that the pages say, by programs that have nothing of the appliance in them."""
    why(
        "A certificate needs no trust in this server: one file of Python computes the verdict again"
        " from the outcomes."
    )
    tools, key = tour.directory / "auditor", tour.directory / "evaluator.pub"
    tour.run("auditor", "export-tools", str(tools))
    key.write_text(tour.run("eval", "key")["pem"], encoding="utf-8")
    for job, certificate in tour.certificates:
        signed, outcomes = (tour.directory / f"gate-{job}.{kind}" for kind in ("json", "jsonl"))
        tour.run("eval", "export", certificate, "--out", str(signed))
        tour.run("eval", "outcomes", str(job), "--end-looks", "--out", str(outcomes))
        _audited(tour, tools / "verify_certificate.py", signed, key, "--outcomes", outcomes)
    why(
        "The log names each result by its digest. Verify the log, then that the pages rest on"
        " results that it names."
    )
    log, genesis = tour.directory / "log", tour.directory / "genesis.pub"
    tour.run("audit", "export", "--format", "tiles", "--out", str(log))
    shutil.copy(tour.data / "audit" / "genesis.pub", genesis)
    _audited(tour, tools / "verify_export.py", log, genesis)
    _audited(tour, tools / "verify_result.py", log, *(each.result for each in tour.reports))


def _audited(tour: Tour, program: Path, *arguments: Path | str) -> None:
    """One of the auditor's programs, shown and kept for the index. Raises DemoError."""
    command = [
        str(each.relative_to(tour.directory)) if isinstance(each, Path) else each
        for each in (program, *arguments)
    ]
    tour.verified.append("python3 " + " ".join(command))
    say("$ " + tour.verified[-1])
    done = subprocess.run(
        [sys.executable, "-I", *command],
        cwd=tour.directory,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DemoError(f"{program.name} refuses: {done.stdout}")
    for line in done.stdout.strip().splitlines():
        told(line.strip())


def report(tour: Tour) -> None:
    """One page with the decisions, which leads to all reports and says how they are verified."""
    why("Everything that was found is kept as pages that open without a network.")
    decided = [
        Section(
            f"{each.title}: {'yes' if each.certified else 'no'}",
            (each.report.answer,),
            filter_none(each.picture.figure),
        )
        for each in tour.decisions
    ]
    others = Links(tuple((each.file, each.title, each.answer) for each in tour.reports))
    verified = (
        "Each sentence is the answer of the result beside its page, a JSON file. These commands"
        " need Python and this directory alone. They compute the gates' verdicts again, verify the"
        " whole log, and find the entry of the log that names each result."
    )
    said = [f"{each.title}: {'yes' if each.certified else 'no'}." for each in tour.decisions]
    page = ReportPage(
        title="The tour",
        answer=" ".join(said) or "All that was found.",
        tone="good" if any(each.certified for each in tour.decisions) else "no",
        facts=tuple(each.fact for each in tour.decisions),
        sections=(
            *decided,
            Section("All pages", parts=(others,)),
            Section("Verify it", (verified,), (Listing(tuple(tour.verified)),)),
        ),
        made_of=(("appliance", __version__),),
        when=iso(SystemClock().wall_us()),
    )
    target = tour.directory / "index.html"
    target.write_text(render(page), encoding="utf-8")
    told(f"reports: {target}")


def filter_none(figure: Figure | None) -> tuple[Figure, ...]:
    """A figure, where there is one."""
    return () if figure is None else (figure,)


def begin(directory: Path) -> None:
    """An empty directory in place of that of an earlier tour, and of no other."""
    if directory.exists() and any(directory.iterdir()) and not (directory / _MARK).exists():
        raise DemoError(f"{directory} is no directory of a tour: choose another with --out")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / _MARK).touch()


Station: TypeAlias = Callable[[Tour], None]


def run(tour: Tour, before: Sequence[Station], served: Sequence[Station]) -> None:
    """All stations, and the proof at the end.

    Args:
        before: those that need no server.
        served: those beside a running server.

    Raises:
        DemoError: a step failed.
    """
    begin(tour.directory)
    for station in before:
        station(tour)
    tour.port = demo.free_port()
    with demo.serving(tour.data, tour.port):
        for station in served:
            station(tour)
    why("The last answer is in a log that can be checked without trust in this server.")
    demo.check(tour.data, tour.receipt, tour.directory / "receipt.proof")
