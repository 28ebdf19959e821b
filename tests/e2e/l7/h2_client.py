"""An HTTP/2 client that does exactly what a test tells it, also what a good client would not: no window is opened, no
stream is read, unless asked for."""

import socket

import h2.config
import h2.connection
import h2.events
import h2.settings

RECEIVE_BYTES = 1 << 16
FRAME_HEADER_BYTES, GOAWAY = 9, 7


class Answer:
    """What has come on one stream so far."""

    def __init__(self):
        self.headers, self.trailers, self.body = {}, {}, bytearray()
        self.informational = 0  # heads of 1xx
        self.ended, self.reset = False, None

    @property
    def status(self):
        return int(self.headers[":status"]) if self.headers else None


class H2Client:
    """One connection, cleartext with prior knowledge. A stream's window is `window` bytes and grows by grant() only.
    The connection's own is as large as it can be, unless `narrow`: then it is 65535 bytes, and grows likewise."""

    def __init__(self, namespace, port, *, window=65535, narrow=False, host="127.0.0.1", timeout_s=20):
        self.socket = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        self.socket.connect((host, port))
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        if not narrow:
            self.h2.increment_flow_control_window((1 << 31) - 1 - 65535)
        self.flush()
        self.answers = {}
        self.unread = b""
        self.pongs = 0
        # The frames' payloads.
        self.goaways = []

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def request(self, path="/", method="GET", body=None, headers=(), end=True):
        """Sends a request's head, and its body as far as windows allow; returns the stream's number."""
        stream = self.h2.get_next_available_stream_id()
        self.answers[stream] = Answer()
        self.h2.send_headers(stream, [(":method", method), (":scheme", "http"), (":path", path),
                                      (":authority", "test"), *headers], end_stream=body is None and end)
        if body is not None:
            self.h2.send_data(stream, body, end_stream=end)
        self.flush()
        return stream

    def send_what_fits(self, stream, data):
        """Sends as much of `data` as the windows allow now; returns how many bytes."""
        sent = 0
        while sent < len(data):
            size = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data) - sent)
            if size <= 0:
                break
            self.h2.send_data(stream, bytes(data[sent:sent + size]))
            sent += size
        self.flush()
        return sent

    def grant(self, stream, size):
        """Opens the window of a stream further; None: the connection's."""
        self.h2.increment_flow_control_window(size, stream)
        self.flush()

    def reset(self, stream, code=8):
        self.h2.reset_stream(stream, code)
        self.flush()

    def read(self):
        """Takes what arrives next; raises TimeoutError, or ConnectionError at the end of the connection."""
        received = self.socket.recv(RECEIVE_BYTES)
        if not received:
            raise ConnectionError("the proxy has closed the connection")
        self.unread += received
        for event in self.h2.receive_data(self.without_goaway()):
            self.take(event)
        self.flush()

    def without_goaway(self):
        """Whole frames of what is unread. h2 would take no further frame after a GOAWAY, though answers may still come."""
        passed = b""
        while len(self.unread) >= FRAME_HEADER_BYTES:
            end = FRAME_HEADER_BYTES + int.from_bytes(self.unread[:3], "big")
            if len(self.unread) < end:
                break
            if self.unread[3] == GOAWAY:
                self.goaways.append(self.unread[FRAME_HEADER_BYTES:end])
            else:
                passed += self.unread[:end]
            self.unread = self.unread[end:]
        return passed

    def take(self, event):
        if isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1
        answer = self.answers.get(getattr(event, "stream_id", None))
        if answer is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            answer.headers = dict(event.headers)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            answer.informational += 1
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = event.error_code

    def ping(self):
        """Until the proxy has looked at all that was sent before, and what it said before has been read."""
        count = self.pongs
        self.h2.ping(b"12345678")
        self.flush()
        while self.pongs == count:
            self.read()

    def finish(self, stream):
        """Reads until the stream is over; returns its Answer."""
        answer = self.answers[stream]
        while not answer.ended and answer.reset is None:
            self.read()
        return answer

    def ends_within(self, stream, seconds):
        """Whether the stream is over before nothing has come for so long."""
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self.finish(stream)
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(before)
        return True

    def read_for(self, seconds):
        """Reads until nothing has come for so long: for tests of what happens, or does not, as time passes."""
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            while True:
                self.read()
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(before)

    def close(self):
        self.socket.close()
