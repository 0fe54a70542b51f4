"""Functions for functions-framework: a plain one, and one for --asgi."""


def hello(request):
    return {"hello": request.get_json()["name"]}


async def hello_async(request):
    return {"hello": (await request.json())["name"]}
