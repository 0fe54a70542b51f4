"""Runs by a schedule, every minute: put regular work here. Only its logs are kept."""

from datetime import UTC, datetime


def main(context):
    now = datetime.now(UTC)
    trigger = context.req.headers["x-appwrite-trigger"]
    context.log(f"{trigger} at {now:%H:%M:%S}, {now.second} s into the minute")
    return context.res.empty()
