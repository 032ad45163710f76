"""The customer's documents: where they are, how they are read, searched and measured."""

from appliance.retrieval.ingest import Ingest
from appliance.retrieval.library import DIRECTORY, CollectionLibrary
from appliance.retrieval.service import SearchService
from appliance.retrieval.tuning import Tuning
from appliance.serving.inference import Inference
from appliance.wiring.access import AccessRoom
from appliance.wiring.log import LogRoom
from appliance.wiring.pool import PoolRoom
from appliance.wiring.serving import ServingRoom


class RetrievalRoom:
    """Puts the parts together; vectors are made by models only, and end with all answers."""

    def __init__(
        self, log: LogRoom, access: AccessRoom, pool: PoolRoom, serving: ServingRoom
    ) -> None:
        library = CollectionLibrary(log.held.data / DIRECTORY, pool.supervisor.budget)
        log.held.closing.callback(library.close)
        models = Inference(serving.backends, serving.shared, serving.under_way)
        self.retrieval = SearchService(library, access.groups, models, log.audit, access.shares)
        pool.jobs.add(Ingest(library, models, log.held.clock))
        pool.jobs.add(Tuning(library, models, log.audit))
