"""Puts the endpoint under test on a real socket of this machine, whatever it is made of.

A URL is taken as it is; an aiohttp application, an ASGI or a WSGI callable is served in this process, on a thread of
its own; a command is started and waited for. `app.hosted` takes any of them.
"""
