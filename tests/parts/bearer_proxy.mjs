// Stands before a gateway for clients that cannot send a token: adds `Authorization: Bearer $MWT` and changes nothing else.
// Method, path, headers with their spelling and order, bodies and the end of a connection pass in both directions.
//
// `bearer_proxy.mjs http://127.0.0.1:PORT` is the gateway's address.
import { createServer, request } from 'node:http';
import { listen } from './listen.mjs';

const { hostname, port } = new URL(process.argv[2]);
const authorization = ['Authorization', `Bearer ${process.env.MWT}`];

const server = createServer((incoming, response) => {
  const { method, url: path, rawHeaders } = incoming;
  const outgoing = request({ hostname, port, method, path, headers: [...rawHeaders, ...authorization], agent: false });
  outgoing.setNoDelay(true);
  outgoing.on('response', (answer) => {
    response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders);
    response.flushHeaders();
    // Whoever ends first ends the other: an aborted answer must not look like a complete one.
    answer.on('aborted', () => response.destroy());
    answer.pipe(response);
  });
  outgoing.on('error', () => response.destroy());
  response.on('close', () => outgoing.destroy());
  incoming.pipe(outgoing);
});
server.on('connection', (socket) => socket.setNoDelay(true));
listen(server);
