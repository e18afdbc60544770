"""A server of gRPC's own library, whose messages are plain bytes."""

import threading
import time
from concurrent import futures

import grpc

MIB = 1024 * 1024
LARGE = [("grpc.max_receive_message_length", 8 * MIB), ("grpc.max_send_message_length", 8 * MIB)]


class Service(grpc.GenericRpcHandler):
    """The method's name says what becomes of the messages."""

    def __init__(self):
        self.tokens, self.cancelled = [], threading.Event()
        self.server = grpc.server(futures.ThreadPoolExecutor(32), handlers=[self], options=LARGE)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    @property
    def route(self):
        upstream = f"{{ url: 'http://127.0.0.1:{self.port}/', http2: prior_knowledge }}"
        return f"  - {{ match: /test.Echo/, strip_prefix: false, upstream: {upstream}, credential: api }}\n"

    def stop(self):
        self.server.stop(None)

    def service(self, details):
        # The last of them: it serves for as long as the tests ask.
        self.tokens[1000:] = [dict(details.invocation_metadata).get("authorization")]
        kind = details.method.rpartition("/")[2]
        return {
            "Unary": grpc.unary_unary_rpc_method_handler(lambda message, _: message),
            "Fails": grpc.unary_unary_rpc_method_handler(self.fail),
            "Sleeps": grpc.unary_unary_rpc_method_handler(self.sleep),
            "Down": grpc.unary_stream_rpc_method_handler(lambda message, _: iter([message] * 100)),
            "Slow": grpc.unary_stream_rpc_method_handler(self.drip),
            "Silent": grpc.unary_stream_rpc_method_handler(self.stay),
            "Up": grpc.stream_unary_rpc_method_handler(lambda messages, _: b"".join(messages)),
            "Both": grpc.stream_stream_rpc_method_handler(lambda messages, _: messages),
        }.get(kind)

    def fail(self, _, context):
        context.set_trailing_metadata([("x-why", "told")])
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now: ä")

    def sleep(self, message, context):
        context.add_callback(self.cancelled.set)
        time.sleep(3)
        return message

    def drip(self, message, _):
        for _ in range(20):
            yield message
            time.sleep(0.1)

    def stay(self, message, context):
        context.add_callback(self.cancelled.set)
        yield message
        while context.is_active():
            time.sleep(0.05)
