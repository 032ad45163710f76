"""Labels and reasons that people give items of label queues, on the admin socket and on the LAN.

Rule: recorded before it is kept; no label is in the log, which a rater may read.
"""

from appliance.app import Services
from appliance.audit.log import Draft
from appliance.datasets.label_queues import StoredLabelQueue
from appliance.datasets.labelling import Given, PutAside


def keep_label(services: Services, queue: str, new: Given, actor: str) -> StoredLabelQueue:
    """Keep a label."""
    services.labels.get(queue).labelling.admit(new)
    services.audit.append(
        Draft.deed(
            "label_set", actor, queue=queue, item=new.item, rater=new.rater, together=new.together
        )
    ).result()
    return services.labels.set(queue, new, actor)


def put_aside(services: Services, queue: str, new: PutAside, actor: str) -> StoredLabelQueue:
    """Skip an item, with a reason."""
    services.labels.get(queue).labelling.admit_aside(new)
    services.audit.append(
        Draft.deed("label_aside", actor, queue=queue, item=new.item, rater=new.rater)
    ).result()
    return services.labels.put_aside(queue, new)
