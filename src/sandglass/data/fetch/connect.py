"""Connections to an HTTP server, straight or by the proxy that the environment names; TLS is always verified."""

import base64
import ssl
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from sandglass.core.errors import BadInput


@dataclass(frozen=True)
class Route:
    """A connection, and how a request on it is worded: what goes before the path, and the headers it needs."""

    connection: HTTPConnection
    prefix: str
    headers: dict[str, str]


def connect(url: SplitResult, timeout: float) -> Route:
    """A connection (opened by its first request) to the server of an http or https address. Raises BadInput."""
    assert url.scheme in ("http", "https") and url.hostname, url
    secure = url.scheme == "https"
    proxy = _proxy(url)
    if proxy is None:
        if secure:
            direct = HTTPSConnection(url.hostname, url.port, timeout=timeout, context=ssl.create_default_context())
            return Route(direct, "", {})
        return Route(HTTPConnection(url.hostname, url.port, timeout=timeout), "", {})
    assert proxy.hostname
    headers = _credentials(proxy)
    if secure:  # the proxy only passes bytes on
        context = ssl.create_default_context()
        tunnel = HTTPSConnection(proxy.hostname, proxy.port, timeout=timeout, context=context)
        tunnel.set_tunnel(url.hostname, url.port, headers)
        return Route(tunnel, "", {})
    return Route(
        HTTPConnection(proxy.hostname, proxy.port, timeout=timeout),
        urlunsplit(("http", url.netloc.rpartition("@")[2], "", "", "")),
        headers,
    )


def _proxy(url: SplitResult) -> SplitResult | None:
    """The proxy of http_proxy, https_proxy, all_proxy, unless no_proxy names the server."""
    proxies = getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or proxy_bypass(url.netloc.rpartition("@")[2]):
        return None
    proxy = urlsplit(address if "://" in address else f"http://{address}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise BadInput(f"the proxy {proxy.scheme}://{proxy.hostname or ''} is not supported; name an http:// proxy")
    return proxy


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
