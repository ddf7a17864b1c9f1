// Runs @modelcontextprotocol/server-everything over Streamable HTTP (path /mcp) on a free loopback port.
import { watchListen } from './listen.mjs';

watchListen();
process.argv[2] = 'streamableHttp';
await import('@modelcontextprotocol/server-everything/dist/index.js');
