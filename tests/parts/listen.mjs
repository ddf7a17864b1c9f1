// What the upstreams on Node share: a free loopback port that is told on stdout, and an end when stdin ends.

/** Makes the program end with its stdin, so that a killed test leaves none behind. */
export function endWithStdin() {
  process.stdin.on('end', () => process.exit(0)).resume();
  process.on('SIGTERM', () => process.exit(0));
}

/** Listens on a free port of 127.0.0.1 and prints `LISTENING <port>`. */
export function listen(server) {
  endWithStdin();
  server.listen(0, '127.0.0.1', () => process.stdout.write(`LISTENING ${server.address().port}\n`));
}
