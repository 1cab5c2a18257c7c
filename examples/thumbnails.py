"""A service that makes thumbnails: images come as payloads, and go as JPEG.

Needs:    pip install Pillow
Run it:   braidmq serve thumbnails:services --join net/orders.braid
Call it:  braidmq call thumbnail @photo.jpg --header size=200 --join net/shop.braid > small.jpg

A payload is at most 1 MiB, at each member, unless `--set payload_bytes_max=...` says more there. Keep larger images
somewhere else, and send their names.
"""

import io
import os

from PIL import Image

from braidmq import Request, ServiceError, Services

services = Services()

PIXELS_MAX = 50_000_000  # some kilobytes can claim to be an image that fills all memory
SIZE_MAX = 1_024


@services.service("thumbnail", concurrency=os.cpu_count() or 1)
def thumbnail(request: Request) -> bytes:  # `def`: it runs in a thread, and most of Pillow works without Python's lock
    size = request.headers.get("size", "128")
    if not size.isdecimal() or not 1 <= int(size) <= SIZE_MAX:
        raise ServiceError("INVALID_ARGUMENT", f"size must be a whole number from 1 to {SIZE_MAX}")
    try:
        with Image.open(io.BytesIO(request.payload)) as image:  # reads the header only
            if image.width * image.height > PIXELS_MAX:
                raise ServiceError("INVALID_ARGUMENT", f"the image has more than {PIXELS_MAX:,} pixels")
            image.thumbnail((int(size), int(size)))
            small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # whatever bytes may do to Pillow
        raise ServiceError("INVALID_ARGUMENT", f"this is no image that can be read: {error}") from None
    file = io.BytesIO()
    small.save(file, "JPEG")
    return file.getvalue()
