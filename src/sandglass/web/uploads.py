"""The form of a request, read within its bounds and in memory only: a photograph, and what is asked about it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Json, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from sandglass.web.bounds import Bounds

Box = tuple[float, float, float, float]
Options = TypeVar("Options", bound=BaseModel)


class PredictOptions(BaseModel):
    """What `POST /predict` takes beside the photograph."""

    model_config = ConfigDict(extra="forbid")

    boxes: Annotated[
        Json[list[Box]] | None,
        Field(description="JSON: people's boxes [[x1, y1, x2, y2], ...]; without it the whole photograph shows one"),
    ] = None
    threshold: Annotated[
        float | None, Field(ge=0, le=1, description="score from which on a joint is present; by default the model's")
    ] = None
    flip: Annotated[bool, Field(description="average with the mirrored crop: better, twice the work")] = True


class HeatmapOptions(BaseModel):
    """What `POST /heatmaps` takes beside the photograph."""

    model_config = ConfigDict(extra="forbid")

    box: Annotated[
        Json[Box] | None, Field(description="JSON: the person's box [x1, y1, x2, y2]; by default the photograph")
    ] = None
    flip: Annotated[bool, Field(description="average with the mirrored crop")] = True


class _InMemory(MultiPartParser):
    spool_max_size = 2**40  # what Starlette would otherwise put into a temporary file stays in memory


async def read_upload(request: Request, bounds: Bounds, kind: type[Options]) -> tuple[bytes, Options]:
    """The photograph's bytes and the options of a multipart form.

    Raises HTTPException: 400 broken form, 408 too slow, 413 too large, 415 no form, 422 wrong fields.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise HTTPException(415, "send a form (multipart/form-data) with the photograph as `file`")
    form = await _read_form(request, bounds)
    photo = form.get("file")
    if not isinstance(photo, UploadFile):
        raise HTTPException(422, "the form has no photograph; send it as the file `file`, with a file name")
    data = await photo.read()
    if not data:
        raise HTTPException(422, "the photograph is empty; send it again")
    fields = {name: value for name, value in form.items() if name != "file"}
    try:
        return data, kind.model_validate(fields)
    except ValidationError as error:
        raise HTTPException(422, first_line(error.errors()[0])) from None


async def _read_form(request: Request, bounds: Bounds) -> FormData:
    claimed = request.headers.get("content-length", "")
    too_large = HTTPException(413, f"larger than {bounds.upload_bytes >> 20} MiB; send a smaller photograph")
    if claimed.isdecimal() and int(claimed[:20]) > bounds.upload_bytes:
        raise too_large

    async def bounded() -> AsyncGenerator[bytes, None]:
        arrived = 0
        async for chunk in request.stream():
            arrived += len(chunk)
            if arrived > bounds.upload_bytes:
                raise too_large
            yield chunk

    stream = bounded()
    parser = _InMemory(request.headers, stream, max_files=1, max_fields=8, max_part_size=bounds.field_bytes)
    try:
        async with asyncio.timeout(bounds.upload_seconds):
            return await parser.parse()
    except TimeoutError:
        raise HTTPException(408, f"the photograph did not arrive within {bounds.upload_seconds:g} s") from None
    except MultiPartException as error:
        raise HTTPException(400, f"the form is broken: {error.message}") from None
    except ClientDisconnect:
        raise HTTPException(400, "the form broke off") from None
    finally:
        await stream.aclose()


def first_line(error: Any) -> str:
    """One line for a person, from one of pydantic's errors."""
    place = ".".join(str(part) for part in error["loc"] if not isinstance(part, dict))
    return " ".join(f"`{place}`: {error['msg']}".split())[:300]


def form_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """The request's body, as OpenAPI describes it."""
    schema = kind.model_json_schema()
    photo = {"type": "string", "format": "binary", "description": "a JPEG, PNG, WebP or BMP picture"}
    schema |= {"properties": {"file": photo} | schema["properties"], "required": ["file"]}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
