"""The schema of appliance.db: the scripts of all rooms in the order in which they came.

Rule: scripts are only ever added, at the end: a database counts how many it has seen.
"""

from typing import Final

from appliance.auth import groups, key
from appliance.batches import files as batch_files
from appliance.batches import store as batch_store
from appliance.datasets import label_queues
from appliance.datasets import ledger as ledgers
from appliance.forwarding import cursors as forwarded
from appliance.governance import agreement, erasing
from appliance.incidents import history as incidents
from appliance.jobs import store as job_store
from appliance.metering import ledger as metering
from appliance.peers import documents, seen_logs
from appliance.routing import monitor as route_monitor
from appliance.routing import people as deferred
from appliance.serving import kept_answers, replays
from appliance.tasks import shadows as shadow_answers
from appliance.trust.artifacts import store
from appliance.trust.statements import evaluations, pointers, route_certificates
from appliance.trust.statements import upstreams as upstream_records

_SEALED: Final = "SELECT 1;\n"
"""Changes no table: from here on columns lie encrypted, which older releases do not read."""
MIGRATIONS: Final = (
    store.TABLES,
    key.TABLES,
    key.SHARES,
    store.ROUNDS,
    key.CONTENT,
    job_store.TABLES,
    key.EXAMPLES,
    ledgers.TABLES,
    evaluations.TABLES,
    groups.TABLES,
    label_queues.TABLES,
    key.TASKS,
    pointers.TABLES,
    shadow_answers.TABLES,
    evaluations.REPLAYS,
    route_certificates.TABLES,
    route_monitor.TABLES,
    upstream_records.TABLES,
    deferred.TABLES,
    route_certificates.REPLAYS,
    route_monitor.MISSING,
    deferred.SAME,
    erasing.TABLES,
    ledgers.SHARES,
    upstream_records.AGREEMENTS,
    agreement.TABLE,
    route_monitor.WEIGHTS,
    label_queues.SEALED,
    incidents.TABLES,
    kept_answers.TABLES,
    forwarded.TABLES,
    metering.TABLES,
    seen_logs.TABLES,
    key.PEOPLE,
    metering.CENTRES,
    key.SITE,
    documents.TABLES,
    _SEALED,
    label_queues.ASIDE,
    replays.TABLES,
)
FILES: Final = (batch_files.TABLES, batch_store.BATCHES)
"""The scripts of files.db, in the same way."""
SEALED: Final = (
    deferred.TEXTS,
    route_monitor.TEXTS,
    *label_queues.TEXTS,
    job_store.JOBS,
    evaluations.TEXTS,
    route_certificates.TEXTS,
)
"""The columns of appliance.db that lie encrypted, by table."""
SCHEMA: Final = len(MIGRATIONS)
"""The schema of appliance.db that this release makes and needs."""
