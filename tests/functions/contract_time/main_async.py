import asyncio
import os


async def main(context):
    context.log("begun")
    if context.req.path == "/sleep":
        print("sleeping for", context.req.query_string)
        await asyncio.sleep(float(context.req.query_string))
    elif context.req.path == "/spin":
        while True:
            pass
    elif context.req.path == "/never":
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
    elif context.req.path == "/raise":
        raise ValueError("went wrong")
    return context.res.text(str(os.getpid()))
