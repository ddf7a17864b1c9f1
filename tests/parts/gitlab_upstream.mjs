// @zereight/mcp-gitlab with remote authorization (path /mcp, legacy era): whose token and which GitLab is told by the headers
// Private-Token and X-GitLab-API-URL of the request that opens a session, and the session keeps both. GITLAB_HOST is the
// only GitLab it may be sent to; `/metrics.json` counts its sessions.
import { watchListen } from './listen.mjs';

watchListen();
Object.assign(process.env, {
  STREAMABLE_HTTP: 'true',
  REMOTE_AUTHORIZATION: 'true',
  ENABLE_DYNAMIC_API_URL: 'true',
  // The GitLab of requests that name none: nobody listens there.
  GITLAB_API_URL: 'http://127.0.0.1:9',
  GITLAB_ALLOWED_HOSTS: process.env.GITLAB_HOST,
  MAX_REQUESTS_PER_MINUTE: '1000',
});
await import(new URL('./node_modules/@zereight/mcp-gitlab/build/index.js', import.meta.url).href);
