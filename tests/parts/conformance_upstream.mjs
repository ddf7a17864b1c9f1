// An MCP server on the official SDK that the conformance suite passes directly, in both eras: requests of 2026-07-28 one by
// one, older clients in sessions whose streams can be resumed. What it offers is in conformance_features.mjs.
//
// MCP_ERA=modern refuses the older clients, MCP_ERA=legacy knows nothing of 2026-07-28.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { localhostHostValidation, localhostOriginValidation, toNodeHandler } from '@modelcontextprotocol/node';
import { WebStandardStreamableHTTPServerTransport, createMcpHandler, isLegacyRequest } from '@modelcontextprotocol/server';
import { features } from './conformance_features.mjs';
import { listen } from './listen.mjs';

const ERA = process.env.MCP_ERA ?? 'both';
/** How long a client waits before it resumes a stream that was closed early. */
const RETRY_MS = 200;

/** The events of one session's streams, kept for clients that come back for what they missed. */
class Events {
  #events = [];

  async storeEvent(stream, message) {
    this.#events.push({ id: `${stream}/${this.#events.length}`, stream, message });
    return this.#events.at(-1).id;
  }

  async getStreamIdForEventId(id) {
    return this.#events.find((event) => event.id === id)?.stream;
  }

  async replayEventsAfter(id, { send }) {
    const last = this.#events.findIndex((event) => event.id === id);
    if (last < 0) throw new Error(`no event ${id}`);
    const { stream } = this.#events[last];
    for (const event of this.#events.slice(last + 1)) {
      // A priming event has no message.
      if (event.stream === stream && event.message.jsonrpc) await send(event.id, event.message);
    }
    return stream;
  }
}

const sessions = new Map();

async function legacy(request) {
  const id = request.headers.get('mcp-session-id');
  if (id) {
    const known = sessions.get(id);
    return known ? known.handleRequest(request) : refusal(404, -32001, 'Session not found');
  }
  const transport = new WebStandardStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (fresh) => void sessions.set(fresh, transport),
    onsessionclosed: (closed) => void sessions.delete(closed),
    eventStore: new Events(),
    retryInterval: RETRY_MS,
  });
  await features({ era: 'legacy' }, changes).connect(transport);
  return transport.handleRequest(request);
}

function refusal(status, code, message) {
  return Response.json({ jsonrpc: '2.0', error: { code, message }, id: null }, { status });
}

const modern = createMcpHandler((context) => features(context, changes), { legacy: 'reject' });
/** Tells the clients that listen that a list has changed. */
const changes = { tools: () => modern.notify.toolsChanged(), prompts: () => modern.notify.promptsChanged() };

async function fetch(request) {
  if (ERA === 'legacy' || (ERA !== 'modern' && (await isLegacyRequest(request)))) return legacy(request);
  return modern.fetch(request);
}

const handler = toNodeHandler({ fetch });
const [hostIsLocal, originIsLocal] = [localhostHostValidation(), localhostOriginValidation()];
listen(
  createServer((request, response) => {
    if (hostIsLocal(request, response) && originIsLocal(request, response)) void handler(request, response);
  }),
);
