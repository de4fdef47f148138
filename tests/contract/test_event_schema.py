"""`events` is a public contract: its schema is at the broker, and who does not keep to it cannot publish there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pulsar
import pytest
from pulsar.schema import JsonSchema

from pulsar_data import topics
from pulsar_data.event_schema import definition
from tests.running_stack import Stack

pytestmark = pytest.mark.stack


@pytest.fixture
def client(stack: Stack) -> Iterator[pulsar.Client]:
    """A client of the stack's Pulsar; what it is refused is none of the log's business."""
    client = pulsar.Client(stack.pulsar.service_url, logger=pulsar.FileLogger(pulsar.LoggerLevel.Error, "/dev/null"))
    yield client
    client.close()


class Record:
    """What the library takes for a record class."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema

    def schema(self) -> dict[str, Any]:
        """The Avro record."""
        return self._schema


def test_the_registered_schema_is_that_of_the_models(stack: Stack) -> None:
    """Anybody can ask the broker what an event may hold."""
    name = topics.EVENTS.removeprefix("persistent://")
    registered = httpx.get(f"{stack.pulsar.admin_url}/admin/v2/schemas/{name}/schema", trust_env=False).json()
    assert registered["type"] == "JSON"
    assert json.loads(registered["data"]) == definition()


def test_a_wrong_producer_is_refused(client: pulsar.Client) -> None:
    """Whether it has no schema, or one of something else, or one that wants what others do not send."""
    demanding = definition()
    demanding["fields"] = [*demanding["fields"], {"name": "mood", "type": "string"}]  # type: ignore[misc]
    other = {"type": "record", "name": "Order", "fields": [{"name": "price", "type": "long"}]}
    with pytest.raises(pulsar.IncompatibleSchema):
        client.create_producer(topics.EVENTS)
    for schema in (demanding, other):
        with pytest.raises(pulsar.IncompatibleSchema):
            client.create_producer(topics.EVENTS, schema=JsonSchema(Record(schema)))
