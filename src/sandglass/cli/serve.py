"""`sandglass serve`."""

from pathlib import Path

from tyro.conf import Positional

from sandglass.cli.terminal import Terminal
from sandglass.models.shipped import DEFAULT_MODEL


def run(
    model: Positional[Path] = Path(DEFAULT_MODEL),
    host: str = "127.0.0.1",
    port: int = 8000,
    device: str = "auto",
    runtime: str = "auto",
) -> None:
    """Serve a page and an HTTP API on which a model looks at photographs.

    Args:
        model: A checkpoint or an exported file (.onnx, .xml), in place of the model that ships with sandglass.
        host: Address to listen on; the default can be reached from this machine only.
        port: To listen on; 0 takes a free one.
        device: auto, cpu, cuda, mps.
        runtime: torch, onnxruntime, openvino; auto takes the fastest that is installed.
    """
    from importlib.util import find_spec

    from sandglass.core.errors import BadInput

    missing = [name for name in ("fastapi", "uvicorn", "python_multipart") if find_spec(name) is None]
    if missing:
        raise BadInput(f"serving needs {', '.join(missing)}; install them: pip install 'sandglass[serve]'")

    from sandglass.inference.predictor import Predictor
    from sandglass.web.bounds import Bounds, loopback
    from sandglass.web.looker import Looker
    from sandglass.web.server import listen, serve

    with listen(host, port) as listener:
        address, port = listener.getsockname()[:2]
        predictor = Predictor.load(model, device=device, runtime=runtime)
        looker = Looker(predictor, model.stem, Bounds())
        if not loopback(address):
            Terminal(stderr=True).print(
                f"warning: everybody who can reach {address} can use this server; it asks for no password and "
                "does not encrypt. A browser gives its camera to https and to this machine only.",
                highlight=False,
                soft_wrap=True,
            )
        place = f"[{address}]" if ":" in address else address
        Terminal().print(f"http://{place}:{port}  ({predictor.runtime.name}; Ctrl-C stops)", highlight=False)
        serve(looker, listener).run(sockets=[listener])
