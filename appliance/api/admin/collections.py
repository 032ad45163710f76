"""Routes of collections and of groups of keys.

Rules: each change and each search is recorded first; entries name documents by digest, so that the
log keeps no removed text.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated

from fastapi import Path

from appliance.api.admin.deps import JobId, Person, PersonDep, Routes, ServicesDep
from appliance.app import Services
from appliance.audit.appending import append
from appliance.audit.log import Draft
from appliance.errors import CollectionRefused
from appliance.retrieval import access, commitments, embedder
from appliance.retrieval.checking import verify
from appliance.retrieval.collection import EMBEDDED_BUDGET, OpenCollection, Settings
from appliance.retrieval.embedder import INDEXER
from appliance.retrieval.library import Shelf
from appliance.retrieval.service import SearchQuery, record
from appliance.types import Caller, Json, Principal
from appliance.wire.admin import collections as wire

router = Routes()
_Name = Annotated[str, Path(max_length=64)]


@router.serves(wire.COLLECTIONS)
def list_collections(services: ServicesDep) -> wire.CollectionList:
    """Every collection."""
    library = services.retrieval.library
    found = [_summary(library.get(name)) for name in library.names()]
    return wire.CollectionList(collections=found)


@router.serves(wire.COLLECTION_NEW)
async def new_collection(
    person: PersonDep, services: ServicesDep, wanted: wire.CollectionNew
) -> wire.Collection:
    """Make a collection."""
    digest = ""
    if wanted.embedder:
        cards = {card.id: card for card in services.inference.cards(INDEXER)}
        card = cards.get(wanted.embedder)
        if card is None or card.kind != "embed":
            message = f"{wanted.embedder[:80]!r} is no embedding model that is served."
            raise CollectionRefused("collection_invalid", message)
        if card.upstream and services.upstreams.get(card.id).config.keeps_content:
            message = f"The hosts of {card.id} may keep texts; a collection leaves none."
            raise CollectionRefused("collection_invalid", message)
        digest = card.digest
    query, passage = await asyncio.to_thread(_prefixes, services, wanted.embedder)
    settings = Settings(
        embedder=wanted.embedder,
        embedder_digest=digest,
        query_prefix=query if wanted.query_prefix is None else wanted.query_prefix,
        passage_prefix=passage if wanted.passage_prefix is None else wanted.passage_prefix,
        ranking=wanted.ranking or ("vectors" if wanted.embedder else "bm25"),
        budget=wanted.budget or (EMBEDDED_BUDGET if wanted.embedder else Settings().budget),
        overlap=wanted.overlap,
    )
    library = services.retrieval.library
    await asyncio.to_thread(library.check_new, wanted.name, settings)
    await _record(services, person, "collection_new", wanted.name, vars(settings))
    await asyncio.to_thread(library.create, wanted.name, settings)
    return await asyncio.to_thread(lambda: _summary(library.get(wanted.name)))


def _prefixes(services: Services, model_id: str) -> tuple[str, str]:
    """The prefixes that the embedder's publisher states, or those known of its family."""
    query, passage = embedder.prefixes(model_id)
    if not any(record.id == model_id for record in services.store.inventory.records()):
        return query, passage
    signed, _ = services.store.inspect(model_id, services.policy())
    said = signed.description
    return (
        query if said.query_prefix is None else said.query_prefix,
        passage if said.passage_prefix is None else said.passage_prefix,
    )


@router.serves(wire.COLLECTION)
def show_collection(services: ServicesDep, name: _Name) -> wire.Shown:
    """A collection and its documents."""
    return _shown(services, name)


def _shown(services: Services, name: str) -> wire.Shown:
    shelf = services.retrieval.library.get(name)
    settings = shelf.collection.settings
    documents = shelf.collection.documents(access.ADMIN)
    return wire.Shown.told_by(settings, collection=_summary(shelf), documents=documents)


@router.serves(wire.COLLECTION_ACCESS)
async def change_access(
    person: PersonDep, services: ServicesDep, name: _Name, wanted: wire.AccessWanted
) -> wire.Shown:
    """Give a document another access list, which holds from the next query on."""
    collection = services.retrieval.library.get(name).collection
    listed = access.checked(wanted.access)
    digest = await asyncio.to_thread(_digest, collection, wanted.document)
    fields: dict[str, Json] = {"access": list(listed)}
    await _record(services, person, "collection_access", name, fields, [digest])
    await asyncio.to_thread(collection.grant, wanted.document, listed)
    return await asyncio.to_thread(_shown, services, name)


@router.serves(wire.COLLECTION_REMOVE)
async def remove(
    person: PersonDep, services: ServicesDep, name: _Name, wanted: wire.RemoveWanted
) -> wire.Removed:
    """Remove documents, or everything, and overwrite their bytes."""
    library = services.retrieval.library
    shelf = await asyncio.to_thread(library.get, name)
    known = await asyncio.to_thread(_digests, shelf.collection)
    names = list(known) if wanted.everything else list(dict.fromkeys(wanted.documents))
    if missing := [document for document in names if document not in known]:
        message = f"There is no document {missing[0][:200]!r}."
        raise CollectionRefused("document_missing", message)
    gone = [known[document] for document in names]
    fields: dict[str, Json] = {"count": len(names), "everything": wanted.everything}
    await _record(services, person, "collection_remove", name, fields, gone)
    if wanted.everything:
        await asyncio.to_thread(library.drop, name)
    else:
        await asyncio.to_thread(shelf.remove, names)
    return wire.Removed(removed=len(names))


@router.serves(wire.COLLECTION_SEARCH)
async def search(
    person: PersonDep, services: ServicesDep, name: _Name, wanted: wire.SearchWanted
) -> wire.Passages:
    """Search everything, or what one key may read."""
    retrieval = services.retrieval
    await asyncio.to_thread(retrieval.library.get, name)
    reads = access.ADMIN
    if wanted.key_id is not None:
        key = services.keys.get(wanted.key_id)
        reads = retrieval.access_of(Principal(key.id, key.name))
    caller = Caller(INDEXER, f"{person.actor}-search", "", "/admin/collections/search")
    query = SearchQuery(name, wanted.query, wanted.limit, {}, wanted.ranking or "")
    found = await retrieval.look(caller, query, reads)
    entry = record(caller, query, found)
    fields = {**entry.fields, "actor": person.actor, "as_key": wanted.key_id}
    opens = {commitments.TEXT: entry.contents[commitments.TEXT]}
    await append(services.audit, Draft("search", fields, opens))
    return wire.Passages.told_by(found)


@router.serves(wire.COLLECTION_VERIFY)
def verify_collection(services: ServicesDep, name: _Name) -> wire.VerifiedCollection:
    """Check every digest, span and index of a collection."""
    return verify(services.retrieval.library.get(name).collection)


@router.serves(wire.INGEST_REPORT)
def report(services: ServicesDep, name: _Name, job_id: JobId) -> wire.ReportList:
    """Report a job's result for each document."""
    rows = services.retrieval.library.get(name).collection.reports(job_id)
    return wire.ReportList(documents=[wire.DocumentReport(**row) for row in rows])


@router.serves(wire.GROUPS)
def list_groups(services: ServicesDep) -> wire.GroupList:
    """Every group of keys."""
    found = services.groups.all().items()
    return wire.GroupList(groups=[wire.Group(name=name, keys=list(keys)) for name, keys in found])


@router.serves(wire.GROUP_CHANGE)
async def change_group(
    person: PersonDep, services: ServicesDep, wanted: wire.GroupChange
) -> wire.Group:
    """Put keys into a group and take others out; it holds from the next request on."""
    services.groups.check(wanted.name, wanted.add)
    deed = Draft.deed(
        "key_group",
        person.actor,
        group=wanted.name,
        add=list(wanted.add),
        remove=list(wanted.remove),
    )
    await append(services.audit, deed)
    keys = await asyncio.to_thread(services.groups.change, wanted.name, wanted.add, wanted.remove)
    return wire.Group(name=wanted.name, keys=list(keys))


async def _record(
    services: Services,
    person: Person,
    action: str,
    name: str,
    more: dict[str, Json],
    digests: Sequence[str] = (),
) -> None:
    """Digests of documents are one text, so that short ones are found."""
    fields: dict[str, Json] = {"actor": person.actor, "action": action, "collection": name}
    texts = {"documents": json.dumps(list(digests)).encode()} if digests else {}
    await append(services.audit, Draft("admin", {**fields, **more}, texts))


def _digests(collection: OpenCollection) -> dict[str, str]:
    return {found.name: found.source_sha256 for found in collection.documents(access.ADMIN)}


def _digest(collection: OpenCollection, name: str) -> str:
    found = collection.known(name)
    if not found:
        raise CollectionRefused("document_missing", f"There is no document {name[:200]!r}.")
    return found


def _summary(shelf: Shelf) -> wire.Collection:
    collection = shelf.collection
    counts = collection.counts()
    return wire.Collection.told_by(
        counts,
        name=shelf.name,
        embedder=collection.settings.embedder,
        ranking=collection.settings.ranking,
        size=collection.path.stat().st_size,
        memory=shelf.searcher.size,
    )
