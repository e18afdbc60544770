"""What systemd is told of the service. systemd itself does not run here: its socket is the test's."""

import signal
import socket


def test_systemd_is_told_how_the_service_stands(start_proxy, api_credential, upstream, to, tmp_path):
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.settimeout(20)
    told.bind(str(tmp_path / "notify"))
    proxy = start_proxy(api_credential, to(upstream), env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    assert told.recv(100) == b"READY=1"
    proxy.program.signal(signal.SIGHUP)
    assert told.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert told.recv(100) == b"READY=1"
    proxy.program.signal(signal.SIGTERM)
    assert told.recv(100) == b"STOPPING=1"
    assert proxy.program.exit_code() == 0
