"""gRPC's own library, client and server, with the proxy between them: calls of all four kinds."""

import threading

import grpc
import pytest
from support.calls import LARGE, MIB, Service
from support.programs import wait_until

@pytest.fixture
def service(ending):
    return ending(Service())


@pytest.fixture
def channel(start_proxy, api_credential, service):
    proxy = start_proxy(api_credential, service.route)
    with grpc.insecure_channel(f"127.0.0.1:{proxy.port}", options=LARGE) as channel:
        yield channel


def test_one_message_each_way(channel, service):
    call = channel.unary_unary("/test.Echo/Unary")
    for message in [b"", b"hello", bytes(4 * MIB)]:
        assert call(message, timeout=20) == message
    assert all(token.startswith("Bearer ") for token in service.tokens)


def test_streams_of_each_direction(channel):
    down = channel.unary_stream("/test.Echo/Down")(bytes(10_000), timeout=20)
    assert [len(message) for message in down] == [10_000] * 100
    up = channel.stream_unary("/test.Echo/Up")
    assert len(up(iter([bytes(100_000)] * 40), timeout=20)) == 4_000_000


def test_a_dialogue_in_which_each_word_waits_for_the_last(channel):
    heard = threading.Semaphore(1)

    def words():
        for number in range(20):
            assert heard.acquire(timeout=10)
            yield str(number).encode()

    answers = []
    for answer in channel.stream_stream("/test.Echo/Both")(words(), timeout=30):
        answers.append(int(answer))
        heard.release()
    assert answers == list(range(20))


def test_large_messages_pass_both_ways_at_once(channel):
    messages = [bytes([number]) * (4 * MIB) for number in range(5)]
    assert list(channel.stream_stream("/test.Echo/Both")(iter(messages), timeout=60)) == messages


def test_an_error_comes_whole_with_what_trails_it(channel):
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary("/test.Echo/Fails")(b"x", timeout=10)
    assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert failed.value.details() == "not now: ä"
    assert ("x-why", "told") in [tuple(it) for it in failed.value.trailing_metadata()]
    with pytest.raises(grpc.RpcError) as unknown:
        channel.unary_unary("/test.Echo/Nothing")(b"x", timeout=10)
    assert unknown.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_deadline_and_a_cancellation_reach_the_server(channel, service):
    with pytest.raises(grpc.RpcError) as late:
        channel.unary_unary("/test.Echo/Sleeps")(b"x", timeout=0.5)
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until("the server is told", service.cancelled.is_set)
    service.cancelled.clear()
    stream = channel.unary_stream("/test.Echo/Silent")(b"x", timeout=1)
    assert next(stream) == b"x"
    with pytest.raises(grpc.RpcError) as late:
        next(stream)
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until("the server is told", service.cancelled.is_set)
    service.cancelled.clear()
    stream = channel.unary_stream("/test.Echo/Silent")(b"x", timeout=60)
    assert next(stream) == b"x"
    stream.cancel()
    wait_until("the server is told", service.cancelled.is_set, 5)


def test_many_calls_at_once(channel):
    call = channel.unary_unary("/test.Echo/Unary")
    pending = [call.future(str(number).encode(), timeout=30) for number in range(500)]
    assert [int(it.result()) for it in pending] == list(range(500))
