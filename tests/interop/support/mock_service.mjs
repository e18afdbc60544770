// Another token service (npm oauth2-mock-server), whose answers can be mangled.
//
//   node mock_service.mjs PORT AUDIENCE
//
// POST /test/mangle?how=H changes later answers: `string` gives expires_in as text, `401` refuses, `empty`
// answers 200 with an empty object, `nothing` goes back to plain ones. GET /test/requests counts them.

import http from 'node:http';
import { OAuth2Server } from 'oauth2-mock-server';

const [port, audience] = process.argv.slice(2);
const state = { requests: 0, how: 'nothing' };
const mangle = {
  nothing: () => {},
  string: (answer) => (answer.body.expires_in = String(answer.body.expires_in)),
  401: (answer) => Object.assign(answer, { statusCode: 401, body: { error: 'invalid_client' } }),
  empty: (answer) => (answer.body = {}),
};

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
server.issuer.url = `http://127.0.0.1:${port}`;
server.service.on('beforeTokenSigning', (token) => Object.assign(token.payload, { aud: audience }));
server.service.on('beforeResponse', (answer) => {
  state.requests += 1;
  mangle[state.how](answer);
});

http
  .createServer((request, response) => {
    const url = new URL(request.url, server.issuer.url);
    if (!url.pathname.startsWith('/test/')) return server.service.requestHandler(request, response);
    if (url.pathname === '/test/mangle') state.how = url.searchParams.get('how');
    response.end(JSON.stringify(state));
  })
  .listen(Number(port), '127.0.0.1', () => console.log('listening'));
