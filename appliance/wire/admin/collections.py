"""Schemas of collections and of groups of keys."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from appliance.types import Passage
from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from appliance.wire.admin.endpoint import admins, operators, viewers

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=64)]
DocumentName: TypeAlias = Annotated[str, Field(min_length=1, max_length=400)]
Ranking: TypeAlias = Literal["bm25", "vectors", "fusion"]


class CollectionNew(Request):
    """A collection to make.

    Missing prefixes follow from the embedder's id. Without an embedder the ranking is by bm25, and
    the budget smaller.
    """

    name: Name
    embedder: str = Field("", max_length=256)
    ranking: Ranking | None = None
    query_prefix: str | None = Field(None, max_length=200)
    passage_prefix: str | None = Field(None, max_length=200)
    budget: int | None = Field(None, ge=64, le=4_000)
    overlap: int = Field(40, ge=0, le=1_999)


class Collection(Reply):
    """`size`: bytes of the file; `memory`: of the index."""

    name: str
    embedder: str
    ranking: str
    documents: int
    chunks: int
    size: int
    generation: int
    memory: int = 0


class CollectionList(Reply):
    """Every collection."""

    collections: list[Collection]


class Document(Reply):
    """A document and who may read it."""

    name: str
    version: int
    title: str
    media: str
    language: str
    pages: int
    empty_pages: int
    warnings: list[str]
    chunks: int
    text_bytes: int
    source_sha256: str
    text_sha256: str
    added: str
    access: list[str]


class Shown(Reply):
    """A collection with its documents."""

    collection: Collection
    budget: int
    overlap: int
    documents: list[Document]


class AccessWanted(Request):
    """Another access list for a document."""

    document: DocumentName
    access: list[Annotated[str, Field(max_length=80)]] = Field(max_length=500)


class RemoveWanted(Request):
    """Documents to remove, or the collection with everything in it."""

    documents: list[DocumentName] = Field(default_factory=list, max_length=10_000)
    everything: bool = False


class Removed(Reply):
    """Number of documents removed."""

    removed: int


class SearchWanted(Request):
    """A search by an admin, of everything or of one key's documents."""

    query: str = Field(min_length=1, max_length=8_192)
    limit: int = Field(10, ge=1, le=50)
    key_id: str | None = Field(None, max_length=64)
    ranking: Ranking | None = None


class Passages(Reply):
    """Passages found, best first."""

    generation: int
    ranking: str
    passages: list[Passage]


class VerifiedCollection(Reply):
    """Checks of a collection and their problems."""

    documents: int
    versions: int
    chunks: int
    vectors: int
    problems: list[str]


class DocumentReport(Reply):
    """A job's result for one document."""

    name: str
    state: str
    code: str
    message: str


class ReportList(Reply):
    """A job's result for each document."""

    documents: list[DocumentReport]


class GroupChange(Request):
    """Ids of keys to put in and to take out."""

    name: Name
    add: list[Annotated[str, Field(max_length=64)]] = Field(default_factory=list, max_length=400)
    remove: list[Annotated[str, Field(max_length=64)]] = Field(default_factory=list, max_length=400)


class Group(Reply):
    """A group and the ids of its keys."""

    name: str
    keys: list[str]


class GroupList(Reply):
    """Every group."""

    groups: list[Group]


COLLECTIONS = viewers.get("/admin/collections", CollectionList)
COLLECTION_NEW = admins.post("/admin/collections", CollectionNew, Collection)
COLLECTION = operators.get("/admin/collections/{name}", Shown)
COLLECTION_ACCESS = admins.post("/admin/collections/{name}/access", AccessWanted, Shown)
COLLECTION_REMOVE = admins.post(
    "/admin/collections/{name}/remove", RemoveWanted, Removed, slow=True
)
COLLECTION_SEARCH = admins.post(
    "/admin/collections/{name}/search", SearchWanted, Passages, slow=True
)
COLLECTION_VERIFY = operators.post(
    "/admin/collections/{name}/verify", VerifiedCollection, slow=True
)
INGEST_REPORT = operators.get("/admin/collections/{name}/reports/{job_id}", ReportList)
GROUPS = viewers.get("/admin/groups", GroupList)
GROUP_CHANGE = admins.post("/admin/groups", GroupChange, Group)
COLLECTION_TABLE: Final[ListTable[Collection]] = ListTable(
    "No collections. Make one with `appliance collection new NAME`.",
    (
        ListColumn("NAME", lambda one: one.name),
        ListColumn("DOCUMENTS", lambda one: one.documents, ColumnKind.COUNT),
        ListColumn("CHUNKS", lambda one: one.chunks, ColumnKind.COUNT),
        ListColumn("SIZE", lambda one: one.size, ColumnKind.BYTES),
        ListColumn("IN MEMORY", lambda one: one.memory or None, ColumnKind.BYTES),
        ListColumn("RANKING", lambda one: one.ranking),
        ListColumn("EMBEDDER", lambda one: one.embedder),
    ),
)
