"""Schemas of routes: terms, standing, certificates, shares by stage."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from appliance.wire.admin.endpoint import operators, viewers

ArtifactId = Annotated[str, Field(min_length=1, max_length=129)]


class RoutePlanWanted(Request):
    """A calibration to plan."""

    route: ArtifactId
    dataset: ArtifactId
    split: Literal["certify", "test"] = "certify"


class RoutePlan(Reply):
    """The terms that the stored route and dataset give to a specification.

    Attributes:
        schedule: each look's share of delta, in millionths; empty: equal shares.
    """

    route: str
    route_digest: str
    dataset: str
    dataset_digest: str
    split: str
    small: str
    small_digest: str
    larger: str
    larger_digest: str
    error_micros: int
    delta_micros: int
    margin_micros: int
    looks: int
    looks_left: int
    schedule: list[int]
    groups: int
    items: int
    weight: str


class Stage(Reply):
    """One stage of a route; `answers` counts since the server started."""

    name: str
    kind: str
    task: str
    digest: str
    answers: int


class CalibrationCertificate(Reply):
    """Findings of a calibration.

    Attributes:
        suspended: why it is suspended, or "".
        weight: of what its shares are: `groups`, which count alike, or `answers`.
        effective: groups of one size that weigh as the sealed ones do; None before 0.2.0.
        envelope: as it was signed; "" in a list of routes.
    """

    id: str
    verdict: Literal["certified", "not_certifiable"]
    reason: str
    threshold: float | None
    coverage: float
    limit: float
    alpha: float
    delta: float
    groups: int
    groups_needed: int | None
    doubtful: str
    identity: str
    dataset: str
    person: str
    issued: str
    valid_until: str
    suspended: str
    function: dict[str, Any]
    weight: str = "groups"
    effective: int | None = None
    envelope: str = ""


class Traffic(Reply):
    """Groups of a first stage's answers of the last weeks, next to the sealed ones.

    Attributes:
        effective: groups of one size that weigh as these do.
        unknown: share of the weight on groups that the certificate has not seen.
        apart: share of the rest that would have to move for the certificate's weights.
        error: the certified limit with these weights.
        beyond: it is more than the bound.
    """

    groups: int
    effective: float
    unknown: float
    apart: float
    error: float
    beyond: bool


class Watched(Reply):
    """Observations of a certificate's monitor.

    Attributes:
        waiting: accepted answers that were drawn and have no label yet.
        days: settled bets, one a day, weighted as the certificate is.
        evidence: against the bound; the certificate is suspended at 1 / delta.
        missing: answers whose label is overdue.
        missing_doubtful, missing_sure: share of missing labels, of the half of the answers with the
            lower and with the higher confidence.
        asked_again, asked_again_wrong: overdue answers labelled after all, and how many are wrong.
        unwatched: since when more than a fifth of the labels are missing, or "".
        traffic: weights of the last weeks' answers next to the certificate's; null without
            `group_from`, or where too little was seen.
    """

    waiting: int
    labelled: int
    wrong: int
    days: int
    evidence: float
    missing: int = 0
    missing_doubtful: float | None = None
    missing_sure: float | None = None
    asked_again: int = 0
    asked_again_wrong: int = 0
    unwatched: str = ""
    traffic: Traffic | None = None


class Route(Reply):
    """One route.

    Attributes:
        certified: its first stage may answer now; else `why` is the code of the reason.
        deferred: requests that no stage answered since the server started.
        on_drift: `suspend` or `warn`: what an alarm of drift does to the certificate.
        weight, group_from: of what errors are shares, and where a request's group comes from.
    """

    id: str
    version: int
    description: str
    state: str
    digest: str
    on_defer: str
    certified: bool
    why: str
    stages: list[Stage]
    deferred: int
    certificates: list[CalibrationCertificate]
    watched: Watched | None = None
    on_drift: str = "suspend"
    weight: str = "answers"
    group_from: str = ""


class RouteList(Reply):
    """All of them, by id."""

    routes: list[Route]


class Suspend(Request):
    """Why a certificate is suspended."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class SampleToLabel(Reply):
    """An accepted answer that waits for a label; the answer itself is not reported.

    Attributes:
        id: 0 where nothing waits.
        labels: of a task with labels.
        form: JSON schema of a task with fields; a label is JSON that it accepts.
        due: after which it counts as an error.
    """

    id: int
    input: dict[str, Any]
    labels: list[str]
    due: str
    form: dict[str, Any] | None = None


class LabelGiven(Request):
    """A person's correct answer."""

    id: Annotated[int, Field(ge=1, lt=1 << 53)]
    label: Annotated[str, Field(min_length=1, max_length=65_536)]


def shares(route: Route) -> str:
    """Write the number of answers of each stage of a route."""
    told = [f"{stage.name} {stage.answers}" for stage in route.stages]
    return ", ".join([*told, f"deferred {route.deferred}"])


ROUTES = viewers.get("/admin/routes", RouteList)
ROUTE = viewers.get("/admin/routes/{route}", Route)
ROUTE_PLAN = viewers.post("/admin/routes/plan", RoutePlanWanted, RoutePlan)
ROUTE_SUSPEND = operators.post("/admin/routes/{route}/suspend", Suspend, Route)
ROUTE_SAMPLE = operators.get("/admin/routes/{route}/sample", SampleToLabel)
ROUTE_LABEL = operators.post("/admin/routes/{route}/sample", LabelGiven, Route)
ROUTE_TABLE: Final[ListTable[Route]] = ListTable(
    "No routes. Import one with `appliance route import DIR`.",
    (
        ListColumn("ID", lambda route: route.id),
        ListColumn("STATE", lambda route: route.state, ColumnKind.STATE),
        ListColumn("CERTIFIED", lambda route: "yes" if route.certified else route.why),
        ListColumn("ANSWERS", shares),
    ),
)
