"""The use-case of a search: access, the query's vector, the passages, the record.

Rules:
- The key's groups and the access lists of the moment decide each search.
- The record of a search is durable before its passages leave. The query is the client's text, which
  can be erased, together with the text that opens the commitments.
- Few searches run at once, and few wait, of one key fewer; each counts as a request of its quota.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from appliance.admission.places import Shares
from appliance.audit.appending import append
from appliance.audit.log import AuditLog, Draft
from appliance.auth.groups import KeyGroups
from appliance.errors import NotFound, Overloaded
from appliance.retrieval import access, commitments
from appliance.retrieval.access import AccessSet
from appliance.retrieval.embedder import Embedder
from appliance.retrieval.library import CollectionLibrary, Shelf
from appliance.retrieval.ranking import Floats
from appliance.retrieval.search import SearchHits
from appliance.serving.inference import RETRIEVAL, Inference
from appliance.types import Caller, Json, Limits, Principal, Receipt

AT_ONCE: Final = 2
MOST_WAITING: Final = 64
MOST_OF_KEY: Final = 16
"""Searches of one key that run and wait."""


@dataclass(frozen=True)
class SearchQuery:
    """A search.

    Attributes:
        wanted: passages at most.
        filters: metadata that documents must have.
        by: another ranking; "" for the collection's.
    """

    collection: str
    text: str
    wanted: int
    filters: Mapping[str, str]
    by: str = ""


class SearchService:
    """Searches of apps and of people."""

    def __init__(
        self,
        library: CollectionLibrary,
        groups: KeyGroups,
        inference: Inference,
        audit: AuditLog,
        shares: Shares,
    ) -> None:
        self.library = library
        self._groups, self._inference, self._audit = groups, inference, audit
        self._shares = shares
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._waiting: Counter[str] = Counter()

    def access_of(self, app: Principal) -> AccessSet:
        people = app.known.groups if app.known else ()
        return access.of_key(app.key_id, self._groups.of(app.key_id), people)

    async def search(self, caller: Caller, query: SearchQuery) -> tuple[SearchHits, Receipt]:
        """Search as an app.

        Raises:
            NotFound: `collection_not_found`, also where the key may read nothing.
            Forbidden: `person_required`.
            Overloaded: `queue_full`; `rate_limit_exceeded`: a search counts as one request.
        """
        app = caller.principal
        self._inference.check_person(app, query.collection)
        self._shares.count(app)
        key, person = (replace(one, rpm=None) for one in (app.limits, app.person_limits))
        counted = replace(app, limits=key, person_limits=person)  # its vector is part of it
        found = await self.look(replace(caller, principal=counted), query, self.access_of(app))
        receipt = await append(self._audit, record(caller, query, found))
        return found, receipt

    async def passage(
        self, caller: Caller, collection: str, passage_id: str
    ) -> tuple[SearchHits, Receipt]:
        """Recorded as a search for its id.

        Raises:
            NotFound: `collection_not_found`; `not_found` where no readable document has it. As
                `search`.
        """
        app, access_set = caller.principal, self.access_of(caller.principal)
        self._check_log()
        self._inference.check_person(app, collection)
        self._shares.quotas.admit(app.key_id, app.limits, self._shares.now())

        def find() -> SearchHits | None:
            return self._shelf(collection, access_set).searcher.passage(access_set, passage_id)

        found = await asyncio.to_thread(find)
        if found is None:
            raise NotFound("not_found", "The collection has no such passage.")
        found = replace(found, nonce=commitments.fresh())
        query = SearchQuery(collection, passage_id, 1, {})
        return found, await append(self._audit, record(caller, query, found))

    async def evidence(self, app: Principal, query: SearchQuery) -> SearchHits:
        """Search for an app's answer, whose record and quota include it; raises as `search`.

        It waits as long as it takes: the answer has a place in a queue already.
        """
        self._check_log()
        self._inference.check_person(app, query.collection)
        bare = replace(app, limits=Limits(weight=app.limits.weight, priority=app.limits.priority))
        caller = Caller(bare, f"evidence-{secrets.token_hex(8)}", "", RETRIEVAL)
        found = await self._look(caller, query, self.access_of(app))
        return replace(found, request_id=caller.request_id)

    async def look(self, caller: Caller, query: SearchQuery, access_set: AccessSet) -> SearchHits:
        """Without a record; raises as `search`."""
        self._check_log()
        key = caller.principal.key_id
        if self._waiting.total() >= MOST_WAITING or self._waiting[key] >= MOST_OF_KEY:
            raise Overloaded("queue_full", f"{self._waiting[key]} searches of this key wait.")
        self._waiting[key] += 1
        try:
            return await self._look(caller, query, access_set)
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]

    async def _look(self, caller: Caller, query: SearchQuery, access_set: AccessSet) -> SearchHits:
        shelf = await asyncio.to_thread(self._shelf, query.collection, access_set)
        settings = shelf.collection.settings
        vector = None
        if settings.embedder and (query.by or settings.ranking) != "bm25":
            vector = await Embedder(self._inference, settings).query(caller, query.text)
        async with self._gate:
            found = await asyncio.to_thread(_found, shelf, access_set, query, vector)
        return replace(found, nonce=commitments.fresh())

    def _check_log(self) -> None:
        self._audit.check()

    def _shelf(self, name: str, access_set: AccessSet) -> Shelf:
        if access_set.all:
            return self.library.get(name)
        return self.library.readable(name, access_set)


def _found(
    shelf: Shelf, access_set: AccessSet, query: SearchQuery, vector: Floats | None
) -> SearchHits:
    return shelf.searcher.search(
        access_set,
        query.text,
        query.wanted,
        vector=vector,
        filters=query.filters,
        by=query.by or None,
    )


def record(caller: Caller, query: SearchQuery, found: SearchHits) -> Draft:
    """The entry of a search."""
    fields: dict[str, Json] = {
        "request_id": caller.request_id,
        "key_id": caller.principal.key_id,
        "app": caller.principal.name,
        "ip": caller.ip,
        "route": caller.route,
        **({"client": named} if (named := caller.client.fields()) else {}),
        **caller.named(),
        "collection": query.collection,
        "generation": found.generation,
        "ranking": found.ranking,
        "wanted": query.wanted,
        "passages": commitments.passages(found.nonce, found.passages),
    }
    texts = {
        "query": query.text.encode(),
        commitments.TEXT: commitments.text(found.nonce, found.passages),
        **caller.texts(),
    }
    return Draft("search", fields, texts, caller.principal.content)
