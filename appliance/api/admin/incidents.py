"""Routes of incidents.

Rules: an acknowledgement is recorded with the person before it is kept.
"""

import asyncio

from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.audit.appending import append
from appliance.audit.log import Draft
from appliance.clock import iso
from appliance.incidents.history import IncidentRecord
from appliance.incidents.rules import Alarm
from appliance.wire.admin import incidents as wire

router = Routes()


@router.serves(wire.INCIDENTS)
def list_incidents(services: ServicesDep, ended: bool = False) -> wire.IncidentList:
    """Open incidents, and with `ended` those that are over."""
    found = services.incidents.all(ended=ended)
    return wire.IncidentList(incidents=[shown(one) for one in found])


@router.serves(wire.INCIDENT)
def show_incident(services: ServicesDep, number: int) -> wire.Incident:
    """One incident."""
    return shown(services.incidents.find(number))


@router.serves(wire.INCIDENT_ACK)
async def acknowledge(
    person: PersonDep, services: ServicesDep, number: int, wanted: wire.Acknowledge
) -> wire.Incident:
    """Note that a person takes care of it."""
    found = await asyncio.to_thread(services.incidents.find, number)
    deed = Draft.deed(
        "incident_ack",
        person.actor,
        incident=number,
        code=found.code,
        subject=found.subject,
        reason=wanted.note,
    )
    await append(services.audit, deed)
    now_us = services.clock.wall_us()
    done = await asyncio.to_thread(
        services.incidents.acknowledge, number, person.actor, wanted.note, now_us
    )
    return shown(done)


def of_alarm(alarm: Alarm) -> wire.Incident:
    """An alarm that holds now."""
    return wire.Incident.told_by(alarm, id=alarm.incident, since=iso(alarm.since_us or 0))


def shown(incident: IncidentRecord) -> wire.Incident:
    """An incident as it is kept."""
    return wire.Incident.told_by(
        incident,
        since=iso(incident.began_us),
        ended=None if incident.ended_us is None else iso(incident.ended_us),
        acked=None if incident.acked_us is None else iso(incident.acked_us),
    )
