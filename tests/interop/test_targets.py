"""Two real servers behind one upstream, of which one is killed under load: no request fails, and it comes back."""

import signal
import threading

from support.load import Load
from support.partners import Upstream
from support.programs import Program, wait_until
from support.proxy import bearerd


def test_one_of_two_targets_is_killed_under_load_and_comes_back(
    tmp_path, ending, token_service, start_proxy, api_credential
):
    targets = []
    for name in ["stays", "goes"]:
        (tmp_path / name).mkdir()
        targets.append(ending(Upstream(tmp_path / name, token_service)))
    goes = targets[1]
    places = ", ".join(f'"127.0.0.1:{it.port}"' for it in targets)
    upstream = f'{{ url: "http://127.0.0.1/", targets: [{places}] }}'
    route = f"  - {{ match: /api/, upstream: {upstream}, credential: api }}\n"
    proxy = start_proxy(api_credential, route, run_args=["--workers", "2"])

    def up():
        return proxy.metric("bearerd_upstream_target_up", target=f"127.0.0.1:{goes.port}")

    load = Load(proxy.port, "/api/x", clients=32, seconds=90)
    running = threading.Thread(target=load.run)
    running.start()
    try:
        wait_until("both serve", lambda: all(it.seen()["accepted"] > 100 for it in targets))
        assert up() == 1
        goes.program.signal(signal.SIGKILL)
        goes.program.exit_code()
        wait_until("it is left out", lambda: up() == 0)
        said = bearerd("status", "--config", proxy.file, folder=tmp_path).stdout
        assert f"127.0.0.1:{goes.port} of http://127.0.0.1 has failed too often in a row: left out for" in said
        ending(Program("again", goes.program.process.args, tmp_path / "goes"))
        wait_until("it serves again", lambda: up() == 1, seconds=40)
        served = goes.seen()["accepted"]
        wait_until("it gets requests", lambda: goes.seen()["accepted"] > served + 100)
    finally:
        load.stop()
        running.join()
    print(dict(load.statuses))
    assert set(load.statuses) == {200}
    assert load.statuses[200] > 1000
