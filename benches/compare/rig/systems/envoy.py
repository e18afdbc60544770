"""Envoy: fetches the token itself (credential_injector with its OAuth2 extension), as we do."""

from __future__ import annotations

import json
import subprocess

from ..install import envoy_binary
from . import Job, Site, Start


def version() -> str:
    said = subprocess.run([envoy_binary(), "--version"], capture_output=True, text=True,
                          check=True).stdout
    return said.split("/")[-4] if said.count("/") >= 4 else said.strip()


def configure(site: Site, job: Job) -> Start:
    api = cluster("api", site.upstream_of(job))
    if job.tls:
        api["transport_socket"] = typed(
            "envoy.transport_sockets.tls",
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            sni="upstream.test",
            common_tls_context={
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3",
                               "tls_maximum_protocol_version": "TLSv1_3"},
                "validation_context": {"trusted_ca": {"filename": str(site.ca)}},
            })
    if job.h2_upstream:
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        api["typed_extension_protocol_options"] = {options: {
            "@type": f"type.googleapis.com/{options}",
            "explicit_http_config": {"http2_protocol_options": {}}}}
    token_host = site.token_url.split("/")[2]
    bootstrap = {"static_resources": {
        "listeners": [listener(site)],
        "clusters": [api, cluster("token", token_host)],
        "secrets": [{"name": "client-secret",
                     "generic_secret": {"secret": {"inline_string": site.client_secret}}}],
    }}
    config = site.folder / "envoy.json"
    config.write_text(json.dumps(bootstrap, indent=2))
    return Start([str(envoy_binary()), "-c", str(config), "--concurrency", "1",
                  "--disable-hot-restart", "--log-level", "warn"], {})


def listener(site: Site) -> dict:
    oauth2 = typed(
        "envoy.http.injected_credentials.oauth2",
        "envoy.extensions.http.injected_credentials.oauth2.v3.OAuth2",
        token_endpoint={"cluster": "token", "timeout": "3s", "uri": site.token_url},
        client_credentials={"client_id": "envoy", "client_secret": {"name": "client-secret"}})
    injector = typed(
        "envoy.filters.http.credential_injector",
        "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
        overwrite=True, credential=oauth2)
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="clients",
        generate_request_id=False,
        upgrade_configs=[{"upgrade_type": "websocket"}],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "api"}}]}]},
        http_filters=[injector, typed("envoy.filters.http.router",
                                      "envoy.extensions.filters.http.router.v3.Router")])
    return {"name": "clients", "address": address("127.0.0.1", site.port),
            "filter_chains": [{"filters": [manager]}]}


def cluster(name: str, authority: str) -> dict:
    host, _, port = authority.partition(":")
    return {"name": name, "type": "STATIC", "connect_timeout": "5s",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": address(host, int(port))}}]}]}}


def address(host: str, port: int) -> dict:
    return {"socket_address": {"address": host, "port_value": port}}


def typed(name: str, message: str, **config) -> dict:
    return {"name": name,
            "typed_config": {"@type": f"type.googleapis.com/{message}", **config}}
