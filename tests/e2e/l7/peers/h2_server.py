"""An HTTP/2 server that misbehaves when its path says so.

    h2_server.py PORT NAME [narrow]

/who            its name                        /unread        takes no byte of the body beyond the first window
/reset          RST_STREAM before an answer     /half/CODE     half an answer, then RST_STREAM
/refuse         RST_STREAM(REFUSED_STREAM)      /status/N      that status
/goaway         answers, then GOAWAY            /sleep/MS      answers after so long
/count          what came in: {path: number}    /early         103, then 200
/hang           never answers                   /received      {path: [bytes of bodies, trailers]}
/upload         its name, when all has come     /headers       [name, value] of each field of the request
/talk           a head at once, its name when all has come
/malformed      a body shorter than its content-length
/drip/MS/N      a head after so long, then N times its name, 50 ms apart
/lost/N         RST_STREAM after N bytes of the body; a server called "good" takes all and answers
/going/MS       GOAWAY that names this stream as the last one, and the answer so long after it
/grpc/N         gRPC status N and nothing else; a server called "good": status 0
Who asks for it gets 100 before an /upload.
A line per stream that is reset by the other side: `reset PATH CODE`, and per PING: `ping`.
A connection's window is as wide as it can be; narrow: the 65535 bytes that it begins with.
"""

import asyncio
import collections
import json
import struct
import sys

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

NAME = sys.argv[2]
DRIP_S = 0.05
seen = collections.Counter()
received = collections.defaultdict(lambda: [0, 0])


class Session(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        if "narrow" not in sys.argv[3:]:
            self.h2.increment_flow_control_window((1 << 31) - 1 - 65535)
        self.paths = {}
        self.bytes_left = {}  # until a stream is lost
        self.flush()

    def flush(self):
        self.transport.write(self.h2.data_to_send())

    def data_received(self, data):
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            print(f"protocol error: {error}", flush=True)
            self.flush()
            self.transport.close()
            return
        for event in events:
            if not self.transport.is_closing():
                self.take(event)
        self.flush()

    def take(self, event):
        if isinstance(event, h2.events.RequestReceived):
            head = dict(event.headers)
            path = head[":path"]
            if path == "/upload" and head.get("expect") == "100-continue":
                self.h2.send_headers(event.stream_id, [(":status", "100")])
            self.paths[event.stream_id] = path
            seen[path] += 1
            if path.partition("?")[0] == "/headers":
                self.say(event.stream_id, json.dumps(event.headers).encode())
            elif path == "/talk":
                self.h2.send_headers(event.stream_id, [(":status", "200")])
            elif path.startswith("/lost/"):
                self.bytes_left[event.stream_id] = int(path.rpartition("/")[2])
            elif path not in ("/unread", "/upload"):
                self.answer(event.stream_id, path)
        elif isinstance(event, h2.events.TrailersReceived):
            received[self.paths[event.stream_id]][1] += 1
        elif isinstance(event, h2.events.DataReceived):
            received[self.paths[event.stream_id]][0] += len(event.data)
            if self.paths.get(event.stream_id) != "/unread":
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_id in self.bytes_left:
                self.lose(event.stream_id, len(event.data))
        elif isinstance(event, h2.events.StreamEnded):
            if self.paths[event.stream_id] == "/upload" or event.stream_id in self.bytes_left:
                self.say_if_open(event.stream_id)
            elif self.paths[event.stream_id] == "/talk":
                self.h2.send_data(event.stream_id, NAME.encode(), end_stream=True)
        elif isinstance(event, h2.events.PingReceived):
            print("ping", flush=True)
        elif isinstance(event, h2.events.StreamReset):
            self.bytes_left.pop(event.stream_id, None)
            print(f"reset {self.paths.get(event.stream_id)} {int(event.error_code)}", flush=True)

    def lose(self, stream, size):
        self.bytes_left[stream] -= size
        if self.bytes_left[stream] <= 0 and NAME != "good":
            del self.bytes_left[stream]
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)

    def answer(self, stream, path):
        what, _, detail = path[1:].partition("/")
        if what == "reset":
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif what == "malformed":
            self.h2.send_headers(stream, [(":status", "200"), ("content-length", "100")])
            self.h2.send_data(stream, b"x", end_stream=True)
        elif what == "refuse":
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        elif what == "half":
            self.h2.send_headers(stream, [(":status", "200"), ("content-length", "100")])
            self.h2.send_data(stream, b"x" * 50)
            self.h2.reset_stream(stream, int(detail or h2.errors.ErrorCodes.INTERNAL_ERROR))
        elif what == "grpc":
            self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc"),
                                          ("grpc-status", "0" if NAME == "good" else detail)], end_stream=True)
        elif what == "sleep":
            asyncio.get_running_loop().call_later(int(detail) / 1000, self.say_late, stream)
        elif what == "drip":
            wait_ms, pieces = map(int, detail.split("/"))
            asyncio.get_running_loop().call_later(wait_ms / 1000, self.drip, stream, pieces, True)
        elif what == "going":
            # By hand: h2 would answer nothing after it.
            self.flush()
            self.transport.write(struct.pack(">IBIII", 8 << 8 | 7, 0, 0, stream, 0))
            asyncio.get_running_loop().call_later(int(detail) / 1000, self.say_late, stream)
        elif what == "status":
            self.say(stream, NAME.encode(), detail)
        elif what == "count":
            self.say(stream, json.dumps(seen).encode())
        elif what == "received":
            self.say(stream, json.dumps(received).encode())
        elif what == "early":
            self.h2.send_headers(stream, [(":status", "103"), ("link", "</style.css>")])
            self.say(stream, NAME.encode())
        elif what != "hang":
            self.say(stream, NAME.encode())
        if what == "goaway":
            # Also ends what else is open on the connection for h2, so: after the answer, no error.
            self.h2.close_connection(last_stream_id=stream)
            self.flush()
            self.transport.close()

    def say(self, stream, body, status="200"):
        self.h2.send_headers(stream, [(":status", status), ("content-length", str(len(body)))])
        self.h2.send_data(stream, body, end_stream=True)

    def say_if_open(self, stream):
        try:
            self.say(stream, NAME.encode())
        except h2.exceptions.ProtocolError:
            pass  # The stream is gone.

    def drip(self, stream, pieces, first=False):
        try:
            if first:
                self.h2.send_headers(stream, [(":status", "200")])
            self.h2.send_data(stream, NAME.encode(), end_stream=pieces == 1)
        except h2.exceptions.ProtocolError:
            return  # The stream is gone.
        self.flush()
        if pieces > 1:
            asyncio.get_running_loop().call_later(DRIP_S, self.drip, stream, pieces - 1)

    def say_late(self, stream):
        self.say_if_open(stream)
        self.flush()


async def main():
    server = await asyncio.get_running_loop().create_server(Session, "0.0.0.0", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
