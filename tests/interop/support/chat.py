"""A WebSocket server in both versions of HTTP (hypercorn), and a client by extended CONNECT (h2 and wsproto)."""

import asyncio
import socket
import threading

import h2.config
import h2.connection
import h2.events
import h2.settings
from hypercorn.asyncio import serve
from hypercorn.config import Config
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, TextMessage

from .programs import free_port, listens, wait_until


class ChatServer:
    """Sends back what it is told; `close` closes. Remembers who came."""

    def __init__(self):
        self.port, self.came = free_port(), []
        self.over, self.loop = asyncio.Event(), asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        wait_until("the chat server listens", lambda: listens(self.port))

    def stop(self):
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join(10)

    def _run(self):
        config = Config()
        config.bind, config.graceful_timeout = [f"127.0.0.1:{self.port}"], 0.1
        config.websocket_max_message_size = 1 << 24
        self.loop.run_until_complete(serve(self._app, config, shutdown_trigger=self.over.wait))

    async def _app(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return
        self.came.append({"version": scope["http_version"], "path": scope["path"], **dict(scope["headers"])})
        assert (await receive())["type"] == "websocket.connect"
        if scope["path"] == "/refused":
            return await send({"type": "websocket.close"})
        await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)})
        while (event := await receive())["type"] == "websocket.receive":
            if event.get("text") == "close":
                return await send({"type": "websocket.close", "code": 4000, "reason": "as you wish"})
            await send({**event, "type": "websocket.send"})


class Http2Socket:
    """One WebSocket on an HTTP/2 connection of its own, which h2 takes for closed once there is a GOAWAY."""

    def __init__(self, port, path, *fields):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        self.wire, self.heard, self.head, self.reset = Connection(ConnectionType.CLIENT), [], None, None
        self._until(lambda: self.http.remote_settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL))
        self.stream = self.http.get_next_available_stream_id()
        pseudo = {"method": "CONNECT", "protocol": "websocket", "scheme": "http", "path": path}
        pseudo["authority"] = f"127.0.0.1:{port}"
        fields = [(f":{name}", value) for name, value in pseudo.items()] + [("sec-websocket-version", "13"), *fields]
        self.http.send_headers(self.stream, fields)
        self._until(lambda: self.head or self.reset is not None)

    @property
    def status(self):
        return int(self.head[":status"])

    def send(self, message):
        kind = TextMessage if isinstance(message, str) else BytesMessage
        self._write(self.wire.send(kind(data=message)))

    def ping(self, payload):
        self._write(self.wire.send(Ping(payload=payload)))

    def close(self, code, reason=""):
        self._write(self.wire.send(CloseConnection(code=code, reason=reason)))

    def hear(self):
        """The next word: a whole message, a pong, a close; None once the stream has ended."""
        whole = None
        while True:
            self._until(lambda: self.heard)
            event = self.heard.pop(0)
            if not isinstance(event, Message):
                return event
            whole = event.data if whole is None else whole + event.data
            if event.message_finished:
                return whole

    def leave(self):
        self.socket.close()

    def _write(self, data):
        while data:
            self._until(lambda: self.http.local_flow_control_window(self.stream) > 0)
            most = min(self.http.local_flow_control_window(self.stream), self.http.max_outbound_frame_size)
            self.http.send_data(self.stream, data[:most])
            data = data[most:]
        self.socket.sendall(self.http.data_to_send())

    def _until(self, condition):
        self.socket.sendall(self.http.data_to_send())
        while not condition():
            for event in self.http.receive_data(self.socket.recv(65536)):
                self._take(event)
            self.socket.sendall(self.http.data_to_send())

    def _take(self, event):
        if isinstance(event, h2.events.ResponseReceived):
            self.head = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if self.status == 200 and event.data:
                self.wire.receive_data(event.data)
                self.heard += self.wire.events()
        elif isinstance(event, h2.events.StreamReset):
            self.reset = event.error_code
            self.heard.append(None)
        elif isinstance(event, (h2.events.StreamEnded, h2.events.ConnectionTerminated)):
            self.heard.append(None)
