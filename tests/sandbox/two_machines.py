"""Two machines in network namespaces, and a sandbox with network `isolated` on the first.

`unshare --net --mount` (and `--user --map-root-user` without root) runs `main`. It prints, as JSON,
what a hostile program in the sandbox reached: before and after an address was closed to it, and
what its attempts to open one said.
"""

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from minifn.host.datadir import DataDir
from minifn.host.files import remove_tree
from minifn.sandbox.choose import choose
from minifn.sandbox.command import Command, Network
from minifn.sandbox.spawner import Spawner, run
from tests.patience import patient

PORT = 8123
#: Further addresses of the first machine, those of the second, and others behind the second, which
#: is the first's way to all networks.
OWN, OTHER, BEHIND = (
    ("10.212.0.2", "fd12::2"),
    ("10.211.0.2", "fd11::2"),
    ("10.213.0.3", "fd13::3"),
)
LINK_LOCAL = "fe80::211:2"
#: Ways by which open addresses are reached.
WAYS = {"plain", "plain udp", "to_device", "to_interface"}
#: Makes both machines; the second's are those in the namespace `other`.
MACHINES = f"""
mount --make-rprivate /
mount -t tmpfs none /run
if [ ! -w /dev/net/tun ] || [ "$1" = root ]; then
  mknod /run/tun c 10 200
  chmod 666 /run/tun
  mount --bind /run/tun /dev/net/tun
fi
ip netns add other
ip link add first type veth peer name second netns other
in_other() {{ nsenter --net=/run/netns/other "$@"; }}
ip link set lo up
in_other ip link set lo up
ip addr add 10.211.0.1/24 dev first
ip addr add fd11::1/64 dev first nodad
ip addr add {OWN[0]}/32 dev lo
ip addr add {OWN[1]}/128 dev lo
in_other ip addr add {OTHER[0]}/24 dev second
in_other ip addr add {OTHER[1]}/64 dev second nodad
in_other ip addr add {LINK_LOCAL}/64 dev second nodad
in_other ip addr add {BEHIND[0]}/32 dev lo
in_other ip addr add {BEHIND[1]}/128 dev lo
ip link set first up
in_other ip link set second up
ip route add default via {OTHER[0]}
ip route add default via {OTHER[1]}
"""
#: Reads addresses from descriptor 3 and answers with the ways by which each was reached.
HOSTILE = """
import json, os, socket, struct
LINK = [(number, name) for number, name in socket.if_nameindex() if name != "lo"][0]

def routed(kind):
    asked = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    content = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 255, 4, 254, 2, 0)
    content += struct.pack("=HH", 8, 1) + socket.inet_aton(OTHER)
    content += struct.pack("=HHI", 8, 4, LINK[0])
    asked.send(struct.pack("=IHHII", 16 + len(content), kind, 5, 0, 0) + content)
    return -struct.unpack_from("=i", asked.recv(4096), 16)[0]

def tried(work, *given):
    try:
        return work(*given)
    except OSError as error:
        return error.errno

def to_device(one, six):
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, LINK[1].encode() + bytes(1))

def to_index(one, six):
    one.setsockopt(socket.SOL_SOCKET, 62, LINK[0])

def to_interface(one, six):
    one.setsockopt(41 if six else 0, 76 if six else 50, struct.pack("!I", LINK[0]))

def unrouted(one, six):
    one.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)

def by_source_route(one, six):
    if six:
        raise OSError
    way = bytes([1, 131, 7, 4]) + socket.inet_aton(OTHER)
    one.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, way)

def plain(one, six):
    pass

def reached(address, prepare, kind, mapped=False):
    host, _, scope = address.partition("%")
    if mapped:
        host = "::ffff:" + host
    six = ":" in host
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, kind) as one:
        one.settimeout(0.3)
        prepare(one, six)
        place = (host, PORT, 0, LINK[0] if scope else 0) if six else (host, PORT)
        if kind == socket.SOCK_DGRAM and prepare is plain and not scope:
            # By the interface that the packet itself names.
            info = bytes(16) + struct.pack("=I", LINK[0]) if six else struct.pack("=I8x", LINK[0])
            named = (41, 50, info) if six else (0, 8, info)
            one.sendmsg([b"?"], [named], 0, place)
            if b"here" in answer(one):
                return True
        one.connect(place)
        one.send(b"?")
        return b"here" in answer(one)

def answer(one):
    try:
        return one.recv(9)
    except TimeoutError:
        return b""

with open(3, "r+b", buffering=0) as asked:
    while line := asked.readline():
        found = {"removed": [tried(routed, 25), tried(os.open, "/dev/net/tun", os.O_RDWR)]}
        for address in json.loads(line):
            ways = found[address] = []
            for prepare in (plain, to_device, to_index, to_interface, unrouted, by_source_route):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    if tried(reached, address, prepare, kind) is True:
                        ways.append(prepare.__name__ + (" udp" if kind == 2 else ""))
            mapped = ":" not in address and tried(reached, address, plain, socket.SOCK_STREAM, True)
            ways.extend(["mapped"] if mapped is True else [])
        asked.write(json.dumps(found).encode() + bytes([10]))
"""


def answer(*addresses: str) -> None:
    """Answer on PORT of addresses by TCP and UDP until the end of the input."""
    for address in addresses:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            family, _, _, _, place = socket.getaddrinfo(address, PORT, type=kind)[0]
            one = socket.socket(family, kind)
            one.bind(place)
            work = _answer_datagrams if kind == socket.SOCK_DGRAM else _answer_connections
            threading.Thread(target=work, args=(one,), daemon=True).start()
    print("answers", flush=True)
    sys.stdin.read()


def _answer_connections(one: socket.socket) -> None:
    one.listen(100)
    while True:
        connection, _ = one.accept()
        with connection:
            connection.sendall(b"here")


def _answer_datagrams(one: socket.socket) -> None:
    while True:
        _, sender = one.recvfrom(9)
        one.sendto(b"here", sender)


async def judge() -> dict[str, Any]:
    """Return what the hostile program reached."""
    place = DataDir(Path(tempfile.mkdtemp(prefix="minifn-test-")))
    place.prepare()
    loop = asyncio.get_running_loop()
    mine, theirs = socket.socketpair()
    mine.setblocking(False)

    async def ask(*wanted: str) -> Any:
        await loop.sock_sendall(mine, json.dumps(wanted).encode() + b"\n")
        found = b""
        while not found.endswith(b"\n"):
            piece = await loop.sock_recv(mine, 65536)
            assert piece, "the hostile program has ended"
            found += piece
        return json.loads(found)

    async with Spawner(place.run) as spawner:
        spawner.close_addresses([*OTHER, LINK_LOCAL + "/128"])
        engine = await choose("bwrap", spawner, place, Network.ISOLATED)

        def wrapped(*argv: str) -> Any:
            env = {"PATH": "/usr/bin:/bin"}
            return engine.wrap(Command(argv=argv, env=env, network=Network.ISOLATED))

        program = f"PORT, OTHER = {PORT}, {OTHER[0]!r}\n{HOSTILE}"
        argv = ("/usr/bin/python3", "-c", program)
        process = await spawner.spawn(wrapped(*argv), (theirs.fileno(),), stderr=2)
        theirs.close()
        everything = (*OWN, *OTHER, LINK_LOCAL + "%", *BEHIND)
        async with asyncio.timeout(patient(20)):
            before = await ask(*everything)
            while not all(set(before[address]) >= WAYS for address in BEHIND):
                before = await ask(*everything)
            spawner.close_addresses([*OTHER, *BEHIND])
            after = before
            while after[BEHIND[0]] or after[BEHIND[1]]:
                after = await ask(*everything)
        # Another one cannot have what the first was refused, nor start without the list.
        connect = f"import socket; socket.create_connection(({BEHIND[0]!r}, {PORT}), 5)"
        later = await run(spawner, wrapped("/usr/bin/python3", "-c", connect), timeout_seconds=20)
        spawner.closed.unlink()
        unlisted = await run(spawner, wrapped("/bin/echo", "it runs"), timeout_seconds=20)
        spawner.close_addresses(["no address"])
        async with asyncio.timeout(patient(10)):
            ended = await process.wait()
    remove_tree(place.root)
    texts = {"later": later.text, "unlisted": unlisted.text, "ended": ended.signal_name}
    return {"before": before, "after": after, **texts}


def main(kind: str, *plain: str) -> None:
    """Make the machines, and judge by the Python `plain`, which runs as a plain user."""
    subprocess.run(["/bin/sh", "-ec", MACHINES, "sh", kind], check=True)
    answering = [
        subprocess.Popen(
            [*way, sys.executable, "-m", "tests.sandbox.two_machines", "answer", *addresses],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for way, addresses in (
            ((), OWN),
            (("nsenter", "--net=/run/netns/other"), (*OTHER, f"{LINK_LOCAL}%second", *BEHIND)),
        )
    ]
    for one in answering:
        assert one.stdout is not None
        assert one.stdout.readline() == b"answers\n"
    done = subprocess.run([*plain, "-m", "tests.sandbox.two_machines", "judge"], check=False)
    for one in answering:
        one.communicate()
    sys.exit(done.returncode)


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        answer(*sys.argv[2:])
    elif sys.argv[1:] == ["judge"]:
        print(json.dumps(asyncio.run(judge())))
    else:
        main(*sys.argv[1:])
