"""Owns a name on the session bus, takes every call to it and answers none: `silent_service.py NAME`."""

import sys

from jeepney import message_bus
from jeepney.io.blocking import open_dbus_connection

from upstream import end_with_stdin, listening

name = sys.argv[1]
connection = open_dbus_connection("SESSION")
reply = connection.send_and_get_reply(message_bus.RequestName(name), timeout=10)
if reply.body != (1,):  # not the primary owner
    sys.exit(f"{name} is taken: {reply.body}")
end_with_stdin()
listening(name)
while True:
    connection.receive()
