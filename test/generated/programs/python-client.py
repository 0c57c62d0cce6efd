# Makes a round trip with the client that openapi-python-client generates: python-client.py URL
import sys
from io import BytesIO

from weirkeeper_client import Client
from weirkeeper_client.api.nodes import multi, nodes_get, nodes_put
from weirkeeper_client.api.sessions import sessions_create
from weirkeeper_client.api.topics import records_fetch, records_produce, topics_create
from weirkeeper_client.models import CheckOperation, CreateSession, CreateTopic, Multi, ProducedRecord, ProduceRecords
from weirkeeper_client.types import File

client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True)

created = nodes_put.sync_detailed("generated/python", client=client, body=File(BytesIO(b"blue")))
print("node", int(created.status_code), created.parsed.path)
print("read", nodes_get.sync("generated/python", client=client).decode())
check = CheckOperation(op="check", path=created.parsed.path, version=0)
assert multi.sync(client=client, body=Multi(ops=[check])).results[0].op.value == "check"
print("session", sessions_create.sync(client=client, body=CreateSession(ttl="20s")).ttl_ms)
topics_create.sync(client=client, body=CreateTopic(name="generated-python"))
body = ProduceRecords(records=[ProducedRecord(value={"n": 1}, key="k")])
print("produced", records_produce.sync("generated-python", client=client, body=body).results[0].count)
fetched = records_fetch.sync("generated-python", 0, client=client)
print("fetched", fetched.records[0].key, fetched.records[0].value, fetched.end_offset)
missing = nodes_get.sync("generated/none", client=client)
print("problem", missing.code.value)
