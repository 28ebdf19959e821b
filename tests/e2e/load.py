"""HTTP load that knows which backend answers each connection. Runs inside the client's namespace.

    load.py spread ADDRESS PORT N   N connections, one request each; prints {backend: connections} as JSON
    load.py hold ADDRESS PORT N SOURCE_PORT
                                    N keep-alive connections, from SOURCE_PORT on, that keep asking until SIGTERM;
                                    prints `ready` once all have been answered, and at the end one JSON list with what
                                    became of each
    load.py open ADDRESS PORT N     N new connections a second until SIGTERM, answered or not; nothing is printed
"""

import asyncio
import collections
import json
import signal
import sys
import time

AT_ONCE = 64
ANSWER_TIMEOUT_S = 30
PAUSE_S = 0.05


async def ask(reader, writer, host):
    """One GET /who; returns the backend's name."""
    writer.write(f"GET /who HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status_line, *lines = head.split("\r\n")
    if " 200 " not in status_line + " ":
        raise ValueError(f"answer: {status_line}")
    fields = dict(line.lower().split(": ", 1) for line in lines if line)
    body = (await reader.readexactly(int(fields["content-length"]))).decode().strip()
    if body != fields["x-backend"]:
        raise ValueError(f"body says {body}, header says {fields['x-backend']}")
    return body


async def spread(address, port, count):
    left = iter(range(count))
    answered = collections.Counter()
    errors = []

    async def one_after_another():
        for _ in left:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    reader, writer = await asyncio.open_connection(address, port)
                    answered[await ask(reader, writer, address)] += 1
                    writer.close()
            except Exception as error:
                errors.append(repr(error))

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
    print(json.dumps(dict(sorted(answered.items()))))
    if errors:
        sys.exit(f"{len(errors)} of {count} connections failed, first: {errors[0]}")


async def hold(address, port, count, source_port):
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    results = [{"backend": None, "requests": 0, "longest_stall_ms": 0, "error": None} for _ in range(count)]

    async def keep(result, local_port):
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(
                    address, port, local_addr=("::" if ":" in address else "0.0.0.0", local_port))
            while not (stopping.is_set() and result["requests"] > 0):
                started = time.monotonic()
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    backend = await ask(reader, writer, address)
                stall_ms = round((time.monotonic() - started) * 1000)
                result["longest_stall_ms"] = max(result["longest_stall_ms"], stall_ms)
                if result["backend"] not in (None, backend):
                    raise ValueError(f"moved from {result['backend']} to {backend}")
                result["backend"] = backend
                result["requests"] += 1
                await asyncio.sleep(PAUSE_S)
            writer.close()
        except Exception as error:
            result["error"] = repr(error)

    async def tell_when_ready():
        while not all(result["requests"] or result["error"] for result in results):
            await asyncio.sleep(0.01)
        print("ready", flush=True)

    await asyncio.gather(tell_when_ready(), *(keep(result, source_port + n) for n, result in enumerate(results)))
    print(json.dumps(results), flush=True)


async def open_new(address, port, per_second):
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)

    async def try_one():
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(address, port)
                await ask(reader, writer, address)
                writer.close()
        except Exception:
            pass  # somebody is being watched who does not answer

    tasks = set()
    while not stopping.is_set():
        tasks.add(asyncio.create_task(try_one()))
        tasks = {task for task in tasks if not task.done()}
        await asyncio.sleep(1 / per_second)
    for task in tasks:
        task.cancel()


def main():
    command, address, *numbers = sys.argv[1:]
    asyncio.run({"spread": spread, "hold": hold, "open": open_new}[command](address, *map(int, numbers)))


main()
