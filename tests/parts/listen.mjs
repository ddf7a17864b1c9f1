// What the upstreams on Node share: a free loopback port that is told on stdout, and an end when stdin ends.
import net from 'node:net';

const say = (server) => process.stdout.write(`LISTENING ${server.address().port}\n`);

/** Makes the program end with its stdin, so that a killed test leaves none behind. */
function endWithStdin() {
  process.stdin.on('end', () => process.exit(0)).resume();
  process.on('SIGTERM', () => process.exit(0));
}

/** Listens on a free port of 127.0.0.1 and prints `LISTENING <port>`. */
export function listen(server) {
  endWithStdin();
  server.listen(0, '127.0.0.1', () => say(server));
}

/**
 * Before a program is imported that listens by itself and never says where: its listen call is watched and brought to
 * 127.0.0.1 and to this port (0 for a free one), its port is told, and stdout carries that line only.
 */
export function watchListen(port = 0) {
  endWithStdin();
  console.log = console.info = console.error;
  const original = net.Server.prototype.listen;
  net.Server.prototype.listen = function (...theirs) {
    this.once('listening', () => say(this));
    const callback = theirs.filter((argument) => typeof argument === 'function');
    return original.call(this, port, '127.0.0.1', ...callback);
  };
}
