import asyncio

from . import failures


async def never(context):
    context.log("begun")
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)


async def sleep(context):
    context.log("begun")
    await asyncio.sleep(float(context.req.query_string))
    return context.res.text(failures.WORKER)


async def echo(context):
    text = context.req.body_text
    context.log("first", text)
    context.error("error", text)
    await asyncio.sleep(float(context.req.query_string) / 1000)
    context.log("second", text)
    return context.res.text(text)


async def main(context):
    if context.req.path == "/raise":
        context.log("called")
        raise ValueError("went wrong")
    route = {"/never": never, "/sleep": sleep, "/echo": echo}.get(context.req.path)
    if route:
        return await route(context)
    if context.req.path == "/spin":
        return failures.spin(context)
    return context.res.text("héllo")
