import asyncio
import os
import socket
import subprocess

# A stray outside the process group must die with the server, too.
STRAY = subprocess.Popen(["sleep", "3600"], start_new_session=True)


async def main(context):
    query = context.req.query
    if port := query.get("tell"):
        socket.create_connection(("127.0.0.1", int(port))).close()
    if address := query.get("witness"):
        await testify(address, context.req.headers["x-appwrite-execution-id"])
    await asyncio.sleep(float(query.get("seconds", "0.05")))
    if context.req.path == "/kept":
        return context.res.json(
            {name: value for name, value in os.environ.items() if name.startswith("KEPT_")}
        )
    context.log(query.get("mark", "no mark"))
    return context.res.text(query.get("mark", f"stray {STRAY.pid}"))


async def testify(address, execution_id):
    """Tell the witness that this execution has begun, and wait for its answer."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{execution_id}\n".encode())
    await reader.readline()
    writer.close()
