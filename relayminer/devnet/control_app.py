"""The HTTP form of the control commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quart import Response, request
from quart_trio import QuartTrio

from relayminer.devnet.comet_json import dumps
from relayminer.devnet.errors import ControlError, DevnetError

if TYPE_CHECKING:
    from relayminer.devnet.control import Control


def create_control_app(control: Control) -> QuartTrio:
    """The application that carries `control`."""
    app = QuartTrio("relayminer.devnet.control")

    @app.errorhandler(DevnetError)
    async def refuse(error: Exception) -> Response:
        return _answer({"error": str(error)}, 400)

    @app.get("/control/status")
    async def status() -> Response:
        return _answer(control.status())

    @app.post("/control/step")
    async def step() -> Response:
        return _answer(await control.step(_number("blocks"), _number("until")))

    @app.post("/control/clock")
    async def clock() -> Response:
        return _answer(control.clock(await _body()))

    @app.post("/control/faults")
    async def faults() -> Response:
        return _answer(control.set_faults(await _body()))

    @app.post("/control/govern")
    async def govern() -> Response:
        return _answer(control.govern(await _body()))

    @app.post("/control/params/<module>")
    async def params(module: str) -> Response:
        return _answer(control.set_params(module, await _body()))

    return app


def _answer(form: dict[str, Any], status: int = 200) -> Response:
    return Response(dumps(form), status=status, content_type="application/json")


async def _body() -> dict[str, Any]:
    document = await request.get_json(force=True, silent=True)
    if not isinstance(document, dict):
        raise ControlError("the body must be a JSON object")
    return document


def _number(name: str) -> int | None:
    text = request.args.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise ControlError(f"{name} must be a whole number, not {text!r}")
    return int(text)
