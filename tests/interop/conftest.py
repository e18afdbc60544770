"""The stage of each test: real programs on free ports of loopback, ended when the test is over."""

import resource

import pytest
from support.canaries import Canaries, assert_hidden
from support.partners import Certificate, Streams, TokenService, Upstream
from support.proxy import Proxy, client_credentials


def pytest_configure(config):
    # Thousands of connections at once: what the machine allows, not what the shell happens to have set.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.fixture
def ending():
    """Takes programs; the last started is the first to end."""
    started = []
    yield lambda program: started.append(program) or program
    for program in reversed(started):
        program.stop()


@pytest.fixture
def token_service(tmp_path, ending):
    return ending(TokenService(tmp_path, life=600))


@pytest.fixture
def upstream(tmp_path, ending, token_service):
    return ending(Upstream(tmp_path, token_service))


@pytest.fixture
def tls_upstream(tmp_path, ending, token_service):
    return ending(Upstream(tmp_path, token_service, Certificate(tmp_path)))


@pytest.fixture
def start_proxy(tmp_path, ending):
    def start(credential, routes, **kwargs):
        return ending(Proxy(tmp_path, credential, routes, **kwargs))

    return start


@pytest.fixture
def canaries():
    return Canaries()


@pytest.fixture
def start_watched(start_proxy, canaries):
    """Starts proxies at the loudest log level; after the test, no canary is in what they said, to anybody."""
    proxies = []

    def start(credential, routes, env=None, **kwargs):
        proxies.append(start_proxy(credential, routes, env={"BEARERD_LOG": "trace", **(env or {})}, **kwargs))
        return proxies[-1]

    yield start
    for proxy in proxies:
        assert_hidden("metrics", proxy.metrics(), canaries.all())
        for complaint in proxy.complaints:
            assert_hidden("an error answer", complaint, canaries.all())
        proxy.stop()
        said = proxy.program.said()
        assert canaries.all(), "nothing was looked for"
        assert_hidden("the log", said, canaries.all())


@pytest.fixture
def api_credential(token_service):
    return client_credentials(token_service.token_url)


@pytest.fixture
def to():
    """The routes that lead /api/ to an upstream, with the credential."""
    return lambda upstream: f'  - {{ match: /api/, upstream: "{upstream.url}/", credential: api }}\n'


@pytest.fixture
def streams(start_proxy, api_credential, tmp_path, ending):
    """The proxy before an upstream of `Streams`."""
    return start_proxy(api_credential, ending(Streams(tmp_path)).routes())


@pytest.fixture
def proxy(start_proxy, api_credential, upstream, to):
    return start_proxy(api_credential, to(upstream))
