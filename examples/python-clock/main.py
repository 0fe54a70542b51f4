"""Called by a schedule, every minute: what is to be done regularly goes here. Nobody sees the answer, only the logs."""

from datetime import UTC, datetime


def main(context):
    now = datetime.now(UTC)
    context.log(
        f"{context.req.headers['x-appwrite-trigger']} at {now:%H:%M:%S}, {now.second} s into the minute"
    )
    return context.res.empty()
