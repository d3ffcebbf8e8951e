"""The event loop a receiver runs on: uvloop where it is installed, which takes more requests a second."""

import asyncio
from collections.abc import Callable

new_event_loop: Callable[[], asyncio.AbstractEventLoop]
try:
    import uvloop
except ImportError:  # there is no uvloop for Windows and for PyPy
    new_event_loop = asyncio.new_event_loop
else:
    new_event_loop = uvloop.new_event_loop
