"""What the upstreams in Python share: they end when their stdin does, so that a killed test leaves none behind."""

import os
import signal
import sys
import threading


def listening(port):
    print(f"LISTENING {port}", flush=True)


def end_with_stdin():
    def wait():
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
