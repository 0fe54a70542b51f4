import asyncio
import socket
import subprocess

# A stray that leaves the process group: it has to die with the server all the same.
STRAY = subprocess.Popen(["sleep", "3600"], start_new_session=True)


async def main(context):
    if port := context.req.query.get("tell"):
        socket.create_connection(("127.0.0.1", int(port))).close()
    await asyncio.sleep(float(context.req.query.get("seconds", "0.05")))
    return context.res.text(f"stray {STRAY.pid}")
