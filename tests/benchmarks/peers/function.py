"""The function for functions-framework, as its users write it: plain, and for --asgi."""


def hello(request):
    return {"hello": request.get_json()["name"]}


async def hello_async(request):
    return {"hello": (await request.json())["name"]}
