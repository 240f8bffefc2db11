"""What schemathesis has to know to try everything of the contract in bounded time."""

import schemathesis


@schemathesis.serializer("application/x-tar", "application/vnd.sqlite3")
def as_bytes(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def map_query(ctx, query):
    if query:
        # An answer that has no end is not waited for.
        if "follow" in query:
            query["follow"] = "false"
        if str(query.get("patience", "")).isdigit():
            query["patience"] = min(int(query["patience"]), 100)
    return query
