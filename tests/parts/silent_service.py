"""Owns the name in its argument on the session bus, takes every call, and answers none."""

import sys
import threading

from jeepney import DBus
from jeepney.io.blocking import open_dbus_connection, Proxy

connection = open_dbus_connection(bus="SESSION")
code = Proxy(DBus(), connection).RequestName(sys.argv[1])[0]
assert code == 1, f"not the owner: {code}"
print("LISTENING", sys.argv[1], flush=True)


def swallow():
    while True:
        connection.receive()


threading.Thread(target=swallow, daemon=True).start()
sys.stdin.read()
