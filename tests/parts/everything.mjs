// Runs @modelcontextprotocol/server-everything over Streamable HTTP (path /mcp) on a free loopback port.
// The server itself knows only PORT and never says which port 0 became, so its listen call is watched.
import net from 'node:net';

console.log = console.error; // stdout carries the LISTENING line only
process.env.PORT = '0';
process.argv[2] = 'streamableHttp';

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  this.once('listening', () => process.stdout.write(`LISTENING ${this.address().port}\n`));
  return listen.call(this, port, '127.0.0.1', ...rest);
};

process.stdin.on('end', () => process.exit(0)).resume();
process.on('SIGTERM', () => process.exit(0));

await import('@modelcontextprotocol/server-everything/dist/index.js');
