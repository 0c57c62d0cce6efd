# What Schemathesis must know to send bodies of a type that it has no serializer for: lines of JSON are a text.
import schemathesis


@schemathesis.serializer('application/x-ndjson')
def lines(_context, value):
    return value if isinstance(value, bytes) else str(value).encode(errors='replace')
