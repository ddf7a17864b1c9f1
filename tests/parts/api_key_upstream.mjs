// `mcp-proxy --apiKey $EXPECTED_KEY` (path /mcp, both eras) before server-everything on stdio: 401 without that X-API-Key.
// PORT is a free one unless set, so that a provider can come back with another key.
import { fileURLToPath } from 'node:url';
import { watchListen } from './listen.mjs';

const module = (path) => fileURLToPath(new URL(`./node_modules/${path}`, import.meta.url));
const proxy = module('mcp-proxy/dist/bin/mcp-proxy.mjs');
const settings = ['--apiKey', process.env.EXPECTED_KEY, '--server', 'stream'];
const stdioServer = [process.execPath, module('@modelcontextprotocol/server-everything/dist/index.js'), 'stdio'];

watchListen(Number(process.env.PORT ?? 0));
process.argv = [process.execPath, proxy, ...settings, '--', ...stdioServer];
await import(proxy);
